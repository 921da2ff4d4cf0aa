"""Other programs open our bundles: openssl, gunzip and tar, to the same bytes and holes."""

import re
from pathlib import Path

import pytest

from bundler.model.bundle import BundleKey, CompressionLevel
from bundler.stages.pipeline import seal
from bundler.stages.tap import Tap
from bundler.stages.tar import pack
from tests.support.bundles import (
    EC2_KEY,
    PART_SIZE,
    USER_CERT,
    USER_KEY,
    bundle,
    element_text,
    find_one,
    gzip_with_openssl,
    part_paths,
    sha1_hex,
    unbundle,
)
from tests.support.images import (
    HOLE,
    MIB,
    Layout,
    dense,
    find_extents,
    image_bytes,
    layout_data,
    random_bytes,
    sha256_of,
    stored_bytes,
    striped,
    text_bytes,
    write_image,
)
from tests.support.tools import run_cli, use_tool

METADATA = 16 * HOLE
"""Most bytes that a file system adds to a test's file for itself."""

RECORD = 10240
"""Bytes that a tar archive is padded to."""

GIB = 1024 * MIB


def open_archive(manifest: Path, *, owner: str = "user") -> bytes:
    """A bundle's tar archive, as openssl and gunzip give it, its digest checked."""
    compressed = gzip_with_openssl(manifest, owner, EC2_KEY if owner == "ec2" else USER_KEY)
    use_tool("gunzip", "-t", data=compressed)
    archive = use_tool("gunzip", "-c", data=compressed)
    assert len(archive) % RECORD == 0
    pattern = "<digest algorithm='SHA1'>([0-9a-f]{40})</digest><size>"
    assert sha1_hex(archive) == find_one(manifest.read_bytes(), pattern)
    return archive


def decode(manifest: Path, directory: Path, *, owner: str = "user") -> Path:
    """Open a bundle with other programs alone; the image that comes out."""
    directory.mkdir()
    archive = open_archive(manifest, owner=owner)
    document = manifest.read_bytes()
    name = find_one(document, "<image><name>([^<]*)</name>")
    assert use_tool("tar", "t", data=archive).decode() == f"{name}\n"
    listed = use_tool("tar", "tv", "--numeric-owner", data=archive).decode()
    assert re.match(rf"-rw-r--r-- 0/0 +{element_text(document, 'size')} ", listed), listed
    assert " root/root " in use_tool("tar", "tv", data=archive).decode()
    use_tool("tar", "xS", data=archive, directory=directory)
    (image,) = directory.iterdir()
    assert image.name == name
    return image


def check_same(image: Path, other: Path, *, holes: bool = True) -> None:
    """Assert that two images have the same bytes, and holes in the same places."""
    assert other.stat().st_size == image.stat().st_size
    if holes:
        assert find_extents(other) == find_extents(image)
    assert stored_bytes(other) <= stored_bytes(image) * 1.01 + METADATA
    assert sha256_of(other) == sha256_of(image)


def check_bundle(image: Path, directory: Path, *options: str | Path, holes: bool = True) -> Path:
    """Bundle an image and open it again in every way; the manifest."""
    manifest = bundle(image, directory / "bundle", *options)
    check_same(image, decode(manifest, directory / "by-user"), holes=holes)
    check_same(image, decode(manifest, directory / "by-ec2", owner="ec2"), holes=holes)
    assert unbundle(manifest, directory / "ours").code == 0
    check_same(image, directory / "ours", holes=holes)
    check_signature(manifest, directory)
    return manifest


def check_signature(manifest: Path, directory: Path) -> None:
    """Assert that openssl accepts the signature over the raw bytes between the tags."""
    document = manifest.read_bytes()
    signed = b"".join(
        document[document.index(f"<{tag}>".encode()) :].split(end)[0] + end
        for tag in ("machine_configuration", "image")
        for end in [f"</{tag}>".encode()]
    )
    signature = directory / "signature"
    signature.write_bytes(bytes.fromhex(element_text(document, "signature")))
    public = directory / "public.pem"
    public.write_bytes(use_tool("openssl", "x509", "-in", USER_CERT, "-pubkey", "-noout"))
    verify = ("openssl", "dgst", "-sha1", "-verify", public, "-signature", signature)
    assert use_tool(*verify, data=signed) == b"Verified OK\n"


@pytest.mark.parametrize("count", [0, 1, 4, 5, 25, 26, 10_000])
def test_image_with_so_many_extents(tmp_path: Path, count: int) -> None:
    layout = striped(count)
    image = write_image(tmp_path / "image", layout, layout_data(layout, seed=count))
    assert len(find_extents(image)) == count
    check_bundle(image, tmp_path)


def test_extents_at_both_ends_and_a_size_that_is_no_whole_block(tmp_path: Path) -> None:
    layout = Layout(size=20 * HOLE + 17, extents=(dense(HOLE).extents[0], *striped(9).extents[8:]))
    image = write_image(tmp_path / "image", layout, layout_data(layout, seed=1))
    check_bundle(image, tmp_path)


@pytest.mark.parametrize("size", [1, 511, 512, 513, 10 * MIB - 1, 10 * MIB, 10 * MIB + 1])
def test_image_of_size(tmp_path: Path, size: int) -> None:
    image = write_image(tmp_path / "image", dense(size), text_bytes(size, seed=size))
    check_bundle(image, tmp_path, "--level", "fast")


@pytest.mark.parametrize("size", [1, 511, 10 * MIB + 1])
def test_image_of_one_hole(tmp_path: Path, size: int) -> None:
    image = write_image(tmp_path / "image", Layout(size=size, extents=()), b"")
    check_bundle(image, tmp_path)
    assert stored_bytes(tmp_path / "ours") == 0


@pytest.mark.parametrize("level", ["fast", "balanced", "small"])
def test_every_level(tmp_path: Path, level: str) -> None:
    data = text_bytes(3 * MIB, seed=2) + random_bytes(2 * MIB, seed=2) + bytes(3 * MIB + 5)
    image = write_image(tmp_path / "image", dense(len(data)), data)
    manifest = bundle(image, tmp_path / "bundle", "--level", level)
    check_same(image, decode(manifest, tmp_path / "by-user"), holes=False)
    assert unbundle(manifest, tmp_path / "ours").code == 0
    check_same(image, tmp_path / "ours", holes=False)
    assert stored_bytes(tmp_path / "ours") <= 5 * MIB + METADATA


def test_ext4(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc" / "motd").write_bytes(text_bytes(3 * MIB, seed=3))
    (tree / "lib").write_bytes(random_bytes(2 * MIB, seed=3))
    image = tmp_path / "root.img"
    use_tool("mke2fs", "-q", "-t", "ext4", "-d", tree, image, "32M")
    # The journal is allocated and not written: data or hole, as the page cache has it.
    check_bundle(image, tmp_path, holes=False)
    use_tool("e2fsck", "-fn", tmp_path / "ours")
    (tmp_path / "motd").write_bytes(use_tool("debugfs", "-R", "cat /etc/motd", tmp_path / "ours"))
    assert sha256_of(tmp_path / "motd") == sha256_of(tree / "etc" / "motd")


def test_xfs(tmp_path: Path) -> None:
    image = tmp_path / "root.img"
    image.touch()
    use_tool("mkfs.xfs", "-q", "-d", f"file,name={image},size=300m")
    check_bundle(image, tmp_path, holes=False)  # as above
    assert stored_bytes(tmp_path / "ours") < 100 * MIB
    use_tool("xfs_repair", "-n", "-f", tmp_path / "ours")


def test_dig_holes_makes_zeros_holes(tmp_path: Path) -> None:
    layout = striped(40)
    data = layout_data(layout, seed=4)
    sparse = write_image(tmp_path / "sparse", layout, data)
    image = write_image(tmp_path / "image", dense(layout.size), image_bytes(layout, data))
    assert len(find_extents(image)) == 1
    plain = bundle(image, tmp_path / "plain")
    dug = bundle(image, tmp_path / "dug", "--dig-holes")
    assert len(open_archive(plain)) > layout.size
    assert len(open_archive(dug)) < layout.size
    check_same(sparse, decode(dug, tmp_path / "by-user"))
    check_same(image, decode(plain, tmp_path / "dense"))
    for manifest in (plain, dug):
        output = manifest.parent / "ours"
        assert unbundle(manifest, output).code == 0
        check_same(sparse, output)


def test_size_over_8_gib(tmp_path: Path) -> None:
    """Sizes and offsets that octal digits cannot hold."""
    size = 9 * GIB + HOLE
    layout = Layout(size=size, extents=striped(1).extents)
    image = write_image(tmp_path / "image", layout, layout_data(layout, seed=5))
    with image.open("r+b") as file:
        file.seek(size - HOLE)
        file.write(random_bytes(HOLE, seed=6))
    manifest = bundle(image, tmp_path / "bundle")
    assert unbundle(manifest, tmp_path / "ours").code == 0
    other = decode(manifest, tmp_path / "by-user")
    for path in (tmp_path / "ours", other):
        assert path.stat().st_size == size
        assert find_extents(path) == find_extents(image)
        with path.open("rb") as file:
            file.seek(size - HOLE)
            assert file.read() == random_bytes(HOLE, seed=6)
            file.seek(HOLE)
            assert file.read(HOLE) == layout_data(layout, seed=5)


def bundled_size(manifest: Path) -> int:
    return sum(path.stat().st_size for path in part_paths(manifest))


def predict_size(data: bytes) -> int:
    """Bytes of the bundle of a dense image, which no key changes."""
    secret = BundleKey(key=bytes(16), iv=bytes(16))
    tar = pack("image", len(data), dense(len(data)).extents, [data])
    level = CompressionLevel.BALANCED
    return sum(map(len, seal(tar, secret, Tap(), level=level, workers=1)))


def find_divisible(divisor: int) -> bytes:
    """An image whose bundle has a multiple of `divisor` bytes."""
    incompressible = random_bytes(60_000, seed=7)
    for size in range(40_000, 60_000, 16):
        data = incompressible[:size] + bytes(60_000 - size)
        if predict_size(data) % divisor == 0:
            return data
    pytest.fail(f"no bundle is divisible by {divisor}")


@pytest.mark.parametrize("part_count", [1, 2, 10, 11])
def test_an_exact_multiple_of_the_part_size_leaves_no_empty_part(
    tmp_path: Path, part_count: int
) -> None:
    data = find_divisible(part_count)
    part_size = predict_size(data) // part_count
    image = write_image(tmp_path / "image", dense(len(data)), data)
    manifest = bundle(image, tmp_path / "bundle", "--part-size", str(part_size))
    parts = part_paths(manifest)
    assert [path.stat().st_size for path in parts] == [part_size] * part_count
    assert sorted(manifest.parent.iterdir()) == sorted([manifest, *parts])
    digits = len(str(part_count))
    assert [path.name for path in parts] == [
        f"image.part.{index:0{digits}d}" for index in range(part_count)
    ]
    assert f"<parts count='{part_count}'>".encode() in manifest.read_bytes()
    check_same(image, decode(manifest, tmp_path / "by-user"), holes=False)


def test_the_default_part_size_is_10_mib(tmp_path: Path) -> None:
    image = write_image(tmp_path / "image", dense(11 * MIB), random_bytes(11 * MIB, seed=8))
    manifest = check_bundle(image, tmp_path, "--level", "fast")
    assert [path.stat().st_size for path in part_paths(manifest)][:-1] == [PART_SIZE]


def test_force_removes_all_old_parts(tmp_path: Path) -> None:
    image = write_image(tmp_path / "image", dense(200_000), random_bytes(200_000, seed=9))
    old = bundle(image, tmp_path / "bundle", "--part-size", "1500")
    assert len(part_paths(old)) > 100
    new = bundle(image, tmp_path / "bundle", "--part-size", "30000", "--force")
    assert sorted(new.parent.iterdir()) == sorted([new, *part_paths(new)])
    assert len(part_paths(new)) < 10
    outcome = run_cli("verify", new, "--cert", USER_CERT, "--deep", "--key", USER_KEY)
    assert outcome.code == 0


def test_our_zeros_cost_next_to_nothing(tmp_path: Path) -> None:
    size = 64 * MIB
    image = write_image(tmp_path / "image", dense(size), bytes(size))
    manifest = bundle(image, tmp_path / "bundle")
    assert bundled_size(manifest) < size // 500
