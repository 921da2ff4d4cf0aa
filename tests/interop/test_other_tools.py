"""Bundles that other tools make are verified and opened, to the same bytes."""

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.bundles import (
    EC2_KEY,
    SECRET_IV,
    SECRET_KEY,
    USER_CERT,
    USER_KEY,
    VECTORS,
    sha1_hex,
    store_bundle,
    unbundle,
)
from tests.support.images import (
    HOLE,
    MIB,
    Layout,
    find_extents,
    layout_data,
    random_bytes,
    sha256_of,
    stored_bytes,
    striped,
    text_bytes,
    write_image,
)
from tests.support.tools import run_cli, use_tool

Maker = Callable[[Path], bytes]
"""Makes a tar archive, or a gzip stream, of a file."""


def gnu_sparse(image: Path) -> bytes:
    """As AMI Tools."""
    owner = ("--owner", "0", "--group", "0")
    return use_tool("tar", "cSh", *owner, "-C", image.parent, image.name)


def gnu_plain(image: Path) -> bytes:
    """As go_ami_tools."""
    return use_tool("tar", "c", "--format=gnu", "-C", image.parent, image.name)


def posix_plain(image: Path) -> bytes:
    """A pax archive, with records for the times before the file."""
    times = "--pax-option=exthdr.name=%d/PaxHeaders/%f"
    return use_tool("tar", "c", "--format=posix", times, "-C", image.parent, image.name)


def v7_plain(image: Path) -> bytes:
    """The oldest format: no magic at all."""
    return use_tool("tar", "c", "--format=v7", "-C", image.parent, image.name)


def ustar_plain(image: Path) -> bytes:
    return use_tool("tar", "c", "--format=ustar", "-C", image.parent, image.name)


def large_records(image: Path) -> bytes:
    """Padded to two megabytes."""
    return use_tool("tar", "c", "-b", "4096", "--format=gnu", "-C", image.parent, image.name)


def long_name(image: Path) -> bytes:
    """A member whose name needs a header of its own."""
    rename = f"--transform=s/.*/{'n' * 200}/"
    return use_tool("tar", "cS", "--format=gnu", rename, "-C", image.parent, image.name)


def python_tar(image: Path) -> bytes:
    """As euca2ools."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w|", format=tarfile.GNU_FORMAT) as tar:
        member = tar.gettarinfo(str(image), arcname=image.name)
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        with image.open("rb") as file:
            tar.addfile(member, file)
    return archive.getvalue()


def gzip_9(archive: bytes) -> bytes:
    return use_tool("gzip", "-9", "-c", data=archive)


def pigz(archive: bytes) -> bytes:
    return use_tool("pigz", "-6", "-p", "4", "-b", "128", "-c", data=archive)


def pigz_independent(archive: bytes) -> bytes:
    """Blocks that need nothing of each other."""
    return use_tool("pigz", "-i", "-p", "4", "-b", "128", "-c", data=archive)


def python_gzip(archive: bytes) -> bytes:
    """With a time in its header."""
    return gzip.compress(archive, 6, mtime=1_700_000_000)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Text, noise, zeros and 30 holes."""
    layout = striped(30)
    path = write_image(
        tmp_path_factory.mktemp("image") / "disk.img", layout, layout_data(layout, seed=1)
    )
    with path.open("ab") as file:
        file.write(text_bytes(3 * MIB, seed=2) + random_bytes(MIB, seed=3) + bytes(2 * MIB))
        file.write(random_bytes(512 * 5, seed=4))
        file.truncate(file.tell() + 6 * MIB + 3)
    return path


@pytest.mark.parametrize(
    ("make_tar", "make_gzip", "quote"),
    [
        (gnu_sparse, gzip_9, "'"),
        (gnu_plain, pigz, "'"),
        (gnu_plain, pigz_independent, '"'),
        (python_tar, python_gzip, '"'),
        (python_tar, pigz, '"'),
        (posix_plain, gzip_9, "'"),
        (ustar_plain, gzip_9, "'"),
        (v7_plain, gzip_9, "'"),
        (large_records, pigz, "'"),
        (long_name, gzip_9, "'"),
        (gnu_sparse, pigz, '"'),
    ],
)
def test_a_bundle_assembled_by_hand(
    image: Path, tmp_path: Path, make_tar: Maker, make_gzip: Callable[[bytes], bytes], quote: str
) -> None:
    archive = make_tar(image)
    secret = ("-K", SECRET_KEY.hex(), "-iv", SECRET_IV.hex())
    bundled = use_tool("openssl", "enc", "-e", "-aes-128-cbc", *secret, data=make_gzip(archive))
    manifest = store_bundle(
        tmp_path / "bundle",
        "disk.img",
        bundled,
        size=image.stat().st_size,
        tar_digest=sha1_hex(archive),
        part_size=100_000,
        quote=quote,
    )
    output = tmp_path / "image"
    assert unbundle(manifest, output).errors == ""
    assert output.stat().st_size == image.stat().st_size
    assert sha256_of(output) == sha256_of(image)
    assert stored_bytes(output) <= stored_bytes(image)
    assert len(find_extents(output)) >= 30
    as_ec2 = ("--deep", "--key", EC2_KEY, "--as-ec2", "--cert", USER_CERT)
    assert run_cli("verify", manifest, *as_ec2).code == 0


def test_split_makes_the_same_parts(image: Path, tmp_path: Path) -> None:
    """Parts cut by `split -b`, as AMI Tools do it, with an empty one behind them or not."""
    archive = gnu_plain(image)
    secret = ("-K", SECRET_KEY.hex(), "-iv", SECRET_IV.hex())
    bundled = use_tool("openssl", "enc", "-e", "-aes-128-cbc", *secret, data=gzip_9(archive))
    manifest = store_bundle(
        tmp_path / "bundle",
        "disk.img",
        bundled,
        size=image.stat().st_size,
        tar_digest=sha1_hex(archive),
        part_size=200_000,
    )
    parts = sorted((tmp_path / "bundle").glob("*.part.*"))
    contents = [path.read_bytes() for path in parts]
    for path in parts:
        path.unlink()
    digits = str(len(str(len(parts))))
    use_tool(
        *("split", "-b", "200000", "-d", "-a", digits, "-", "disk.img.part."),
        data=bundled,
        directory=tmp_path / "bundle",
    )
    assert [path.read_bytes() for path in parts] == contents
    assert run_cli("verify", manifest, "--cert", USER_CERT).code == 0


def test_an_empty_last_part_is_read(tmp_path: Path) -> None:
    """Euca2ools write one when the bundle is an exact multiple of the part size."""
    data = random_bytes(8192, seed=5)
    image = tmp_path / "disk.img"
    image.write_bytes(data)
    archive = python_tar(image)
    secret = ("-K", SECRET_KEY.hex(), "-iv", SECRET_IV.hex())
    bundled = use_tool("openssl", "enc", "-e", "-aes-128-cbc", *secret, data=gzip_9(archive))
    manifest = store_bundle(
        tmp_path / "bundle", "disk.img", bundled, size=8192, tar_digest=sha1_hex(archive)
    )
    directory = manifest.parent
    (directory / "disk.img.part.1").write_bytes(b"")
    document = manifest.read_bytes()
    empty = (
        f"<part index='1'><filename>disk.img.part.1</filename>"
        f"<digest algorithm='SHA1'>{sha1_hex(b'')}</digest></part></parts>"
    )
    document = document.replace(b"</parts>", empty.encode()).replace(b"count='1'", b"count='2'")
    manifest.write_bytes(document)
    output = tmp_path / "image"
    assert run_cli("unbundle", manifest, "-o", output, "--key", USER_KEY).code == 0
    assert output.read_bytes() == data


VECTOR_PARTS = {
    "plain/tiny.img": "plain",
    "full/full": "full",
    "old/v3": "plain",
    "old/v20070829": "plain",
}


@pytest.mark.parametrize("owner", ["user", "ec2"])
@pytest.mark.parametrize("name", VECTOR_PARTS)
def test_bundles_of_ami_tools_unbundle(tmp_path: Path, name: str, owner: str) -> None:
    manifest = VECTORS / f"{name}.manifest.xml"
    output = tmp_path / "image"
    keys = ("--key", USER_KEY) if owner == "user" else ("--key", EC2_KEY, "--as-ec2")
    outcome = run_cli(
        *("unbundle", manifest, "-o", output, "--parts", VECTORS / VECTOR_PARTS[name]),
        *(*keys, "--cert", USER_CERT),
    )
    assert (outcome.code, outcome.text, outcome.errors) == (0, f"{output}\n", "")
    expected = json.loads((VECTORS / "expected.json").read_text())["tiny.img"]["sha256"]
    assert sha256_of(output) == expected


def test_an_image_that_ends_in_a_hole_by_gnu_tar(tmp_path: Path) -> None:
    layout = Layout(size=50 * HOLE + 100, extents=striped(2).extents)
    image = write_image(tmp_path / "disk.img", layout, layout_data(layout, seed=6))
    archive = gnu_sparse(image)
    assert len(archive) < 8 * HOLE
    secret = ("-K", SECRET_KEY.hex(), "-iv", SECRET_IV.hex())
    bundled = use_tool("openssl", "enc", "-e", "-aes-128-cbc", *secret, data=gzip_9(archive))
    manifest = store_bundle(
        tmp_path / "bundle", "disk.img", bundled, size=layout.size, tar_digest=sha1_hex(archive)
    )
    assert unbundle(manifest, tmp_path / "image").code == 0
    assert sha256_of(tmp_path / "image") == sha256_of(image)
    assert find_extents(tmp_path / "image") == find_extents(image)
