"""`ami-bundler unbundle` and `verify` of bundles that are damaged, forged or hostile."""

import gzip
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import pytest

from tests.support.bundles import (
    EC2_CERT,
    EC2_KEY,
    USER_CERT,
    USER_KEY,
    VECTORS,
    bundle,
    describe_bundle,
    encrypted,
    sha1_hex,
    split_bytes,
    store_bundle,
    store_parts,
)
from tests.support.hostile import (
    END,
    HOSTILE_ARCHIVES,
    SIZE,
    HostileArchive,
    data,
    header,
    seal_archive,
)
from tests.support.images import (
    MIB,
    dense,
    random_bytes,
    write_image,
)
from tests.support.tools import check_refused, listing, run_cli

USAGE, BAD_INPUT, NOT_VERIFIED, MISSING, HOST = 2, 3, 4, 5, 8
"""Exit codes."""

KEYS = ("--key", USER_KEY, "--cert", USER_CERT)
DEEP = ("--deep", *KEYS)

HONEST = header() + data() + END
"""An archive that must be accepted."""


def refuse(manifest: Path, output: Path, code: int, pattern: str, *, is_deep: bool = True) -> None:
    """Assert that a bundle is neither unbundled nor found good, and that nothing is left."""
    before = listing(output.parent), listing(manifest.parent)
    check_refused(run_cli("unbundle", manifest, "-o", output, *KEYS), code, pattern)
    assert (listing(output.parent), listing(manifest.parent)) == before
    check_refused(run_cli("verify", manifest, *(DEEP if is_deep else KEYS[2:])), code, pattern)


def test_an_honest_bundle_made_in_the_same_way_is_accepted(tmp_path: Path) -> None:
    manifest = seal_archive(tmp_path / "bundle", HONEST)
    output = tmp_path / "image"
    outcome = run_cli("unbundle", manifest, "-o", output, *KEYS)
    assert (outcome.code, outcome.text, outcome.errors) == (0, f"{output}\n", "")
    assert output.read_bytes() == data()
    outcome = run_cli("verify", manifest, *DEEP)
    assert (outcome.code, outcome.text) == (0, f"{manifest}: ok, 1 parts\n")


@pytest.mark.parametrize("hostile", HOSTILE_ARCHIVES, ids=str)
def test_hostile_archive_in_a_validly_signed_bundle(
    tmp_path: Path, hostile: HostileArchive
) -> None:
    manifest = seal_archive(tmp_path / "bundle", hostile.archive)
    output = tmp_path / "out" / "image"
    output.parent.mkdir()
    outcome = run_cli("unbundle", manifest, "-o", output, *KEYS)
    check_refused(outcome, BAD_INPUT, hostile.message)
    assert listing(output.parent) == {}


def two_members(archive: bytes) -> bytes:
    half = len(archive) // 2
    return gzip.compress(archive[:half]) + gzip.compress(archive[half:])


def bomb(archive: bytes) -> bytes:
    """Ten gigabytes of zeros behind an honest archive, in ten megabytes."""
    stream = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    head = stream.compress(archive) + stream.flush(zlib.Z_FULL_FLUSH)
    zeros = stream.compress(bytes(16 * MIB)) + stream.flush(zlib.Z_FULL_FLUSH)
    return gzip.compress(b"")[:10] + head + zeros * 640 + stream.flush() + bytes(8)


HOSTILE_GZIPS: list[tuple[str, Callable[[bytes], bytes], str]] = [
    ("no gzip", lambda archive: archive, "expected a gzip header"),
    ("empty", lambda archive: b"", "expected a gzip header"),
    ("zlib instead of gzip", zlib.compress, "expected a gzip header"),
    ("two gzip members", two_members, "more bytes behind it"),
    ("trailing zeros", lambda archive: gzip.compress(archive) + b"\0" * 20, "more bytes behind it"),
    ("one trailing byte", lambda archive: gzip.compress(archive) + b"\n", "more bytes behind it"),
    ("cut short", lambda archive: gzip.compress(archive)[:-9], "cut short"),
    ("without its trailer", lambda archive: gzip.compress(archive)[:-8], "cut short"),
    (
        "wrong CRC",
        lambda archive: gzip.compress(archive)[:-8] + bytes(4) + gzip.compress(archive)[-4:],
        "the CRC-32 or the size does not hold",
    ),
    (
        "wrong size",
        lambda archive: gzip.compress(archive)[:-4] + b"\xff\0\0\0",
        "the CRC-32 or the size does not hold",
    ),
    (
        "damaged",
        lambda archive: gzip.compress(archive)[:14] + b"\xff" * 8 + gzip.compress(archive)[22:],
        "the stream is damaged",
    ),
]


@pytest.mark.parametrize(
    ("make_gzip", "pattern"),
    [case[1:] for case in HOSTILE_GZIPS],
    ids=[case[0] for case in HOSTILE_GZIPS],
)
def test_hostile_gzip_in_a_validly_signed_bundle(
    tmp_path: Path, make_gzip: Callable[[bytes], bytes], pattern: str
) -> None:
    manifest = seal_archive(tmp_path / "bundle", HONEST, make_gzip=make_gzip)
    refuse(manifest, tmp_path / "image", NOT_VERIFIED, pattern)


def test_a_gzip_bomb_fills_neither_memory_nor_disk(tmp_path: Path) -> None:
    manifest = seal_archive(tmp_path / "bundle", HONEST, make_gzip=bomb)
    limited = ["prlimit", f"--data={600 * MIB}"]
    output = tmp_path / "image"
    outcome = run_cli("unbundle", manifest, "-o", output, *KEYS, wrapper=limited)
    check_refused(outcome, BAD_INPUT, "untar image: more than [0-9]+ zeros behind")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_the_tar_digest_does_not_hold(tmp_path: Path) -> None:
    manifest = store_bundle(
        tmp_path / "bundle",
        "image",
        encrypted(gzip.compress(HONEST)),
        size=SIZE,
        tar_digest=sha1_hex(b"another"),
    )
    pattern = f"expected SHA1 {sha1_hex(b'another')} of the tar stream, got {sha1_hex(HONEST)}"
    refuse(manifest, tmp_path / "image", NOT_VERIFIED, pattern)


@pytest.mark.parametrize(
    ("damage", "bundled", "pattern"),
    [
        ("other key", encrypted(gzip.compress(HONEST), bytes(16)), "decrypt: the padding|header"),
        ("other IV", encrypted(gzip.compress(HONEST), iv=bytes(16)), "expected a gzip header"),
        ("15 bytes", encrypted(gzip.compress(HONEST))[:-1], "whole number of AES blocks"),
        ("one byte", b"x", "1 bytes are not a whole number of AES blocks"),
        ("one block less", encrypted(gzip.compress(HONEST))[:-16], "cut short|padding"),
    ],
)
def test_the_encrypted_stream_is_not_what_it_must_be(
    tmp_path: Path, damage: str, bundled: bytes, pattern: str
) -> None:
    manifest = store_bundle(
        tmp_path / damage, "image", bundled, size=SIZE, tar_digest=sha1_hex(HONEST)
    )
    refuse(manifest, tmp_path / "image", NOT_VERIFIED, pattern)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a good bundle of four parts; tests copy it."""
    directory = tmp_path_factory.mktemp("good")
    image = write_image(directory / "image", dense(150_000), random_bytes(150_000, seed=6))
    bundle(image, directory / "bundle", "--part-size", "40000")
    return directory / "bundle"


def remove(directory: Path) -> None:
    (directory / "image.part.2").unlink()


def truncate(directory: Path) -> None:
    with (directory / "image.part.2").open("r+b") as file:
        file.truncate(39_999)


def empty(directory: Path) -> None:
    (directory / "image.part.2").write_bytes(b"")


def extend(directory: Path) -> None:
    with (directory / "image.part.2").open("ab") as file:
        file.write(b"\0")


def flip_a_bit(directory: Path) -> None:
    part = bytearray((directory / "image.part.2").read_bytes())
    part[20_000] ^= 1
    (directory / "image.part.2").write_bytes(part)


def swap(directory: Path) -> None:
    one, two = directory / "image.part.1", directory / "image.part.2"
    data_one, data_two = one.read_bytes(), two.read_bytes()
    one.write_bytes(data_two)
    two.write_bytes(data_one)


def replace_by_a_directory(directory: Path) -> None:
    remove(directory)
    (directory / "image.part.2").mkdir()


def replace_by_a_fifo(directory: Path) -> None:
    remove(directory)
    os.mkfifo(directory / "image.part.2")


def replace_by_an_endless_device(directory: Path) -> None:
    remove(directory)
    (directory / "image.part.2").symlink_to("/dev/zero")


def replace_by_a_huge_file(directory: Path) -> None:
    os.truncate(directory / "image.part.2", 2**40)


@pytest.mark.parametrize(
    ("damage", "code", "pattern"),
    [
        (remove, MISSING, "image.part.2: No such file"),
        (truncate, NOT_VERIFIED, "image.part.2: expected SHA1 "),
        (empty, NOT_VERIFIED, "image.part.2: expected SHA1 .* got da39a3ee5e6b4b0d"),
        (extend, NOT_VERIFIED, "image.part.2: expected SHA1 "),
        (flip_a_bit, NOT_VERIFIED, "image.part.2: expected SHA1 "),
        (swap, NOT_VERIFIED, "image.part.1: expected SHA1 "),
        (replace_by_a_directory, BAD_INPUT, "image.part.2: expected a regular file|a directory"),
        (replace_by_a_fifo, BAD_INPUT, "image.part.2: expected a regular file"),
        (replace_by_an_endless_device, BAD_INPUT, "image.part.2: expected a regular file"),
        (replace_by_a_huge_file, NOT_VERIFIED, "image.part.2: expected at most [0-9]+ bytes, got"),
    ],
)
def test_a_part_is_not_what_it_was(
    good: Path, tmp_path: Path, damage: Callable[[Path], None], code: int, pattern: str
) -> None:
    directory = copytree(good, tmp_path / "bundle")
    damage(directory)
    manifest = directory / "image.manifest.xml"
    before = listing(tmp_path)
    outcome = run_cli("unbundle", manifest, "-o", tmp_path / "back", *KEYS)
    check_refused(outcome, code, pattern)
    check_refused(run_cli("verify", manifest, "--cert", USER_CERT), NOT_VERIFIED, pattern)
    assert listing(tmp_path) == before


def test_verify_counts_the_parts_that_do_not_hold(good: Path, tmp_path: Path) -> None:
    directory = copytree(good, tmp_path / "bundle")
    swap(directory)
    outcome = run_cli("verify", directory / "image.manifest.xml", "--cert", USER_CERT)
    check_refused(outcome, NOT_VERIFIED, r"image.part.1: .*\(and 1 more parts\)$")


@pytest.mark.parametrize("difference", [-1, 1, -40_000])
def test_the_parts_together_are_not_of_the_size_told(tmp_path: Path, difference: int) -> None:
    parts = split_bytes(encrypted(gzip.compress(HONEST)), 100)
    directory = tmp_path / "bundle"
    directory.mkdir()
    store_parts(directory, "image", parts)
    told = max(sum(map(len, parts)) + difference, len(parts))
    text = describe_bundle("image", parts, size=SIZE, tar_digest=sha1_hex(HONEST))
    document = text.render().replace(
        f"<bundled_size>{text.bundled_size}<".encode(), f"<bundled_size>{told}<".encode()
    )
    manifest = directory / "image.manifest.xml"
    manifest.write_bytes(document)
    # The signature covers the size too; here it is not looked at.
    outcome = run_cli("unbundle", manifest, "-o", tmp_path / "image", "--key", USER_KEY)
    check_refused(outcome, NOT_VERIFIED, f"expected (at most )?{told} bytes")
    assert not (tmp_path / "image").exists()
    check_refused(run_cli("verify", manifest), NOT_VERIFIED, f"expected (at most )?{told} bytes")


@pytest.mark.parametrize(
    ("arguments", "code", "pattern"),
    [
        (["--key", EC2_KEY], NOT_VERIFIED, r"wrong private key.*for the cloud's: --as-ec2"),
        (
            ["--key", USER_KEY, "--as-ec2"],
            NOT_VERIFIED,
            r"wrong private key.*for the cloud's key only",
        ),
        (["--key", USER_KEY, "--cert", EC2_CERT], NOT_VERIFIED, "the signature does not hold"),
        (["--key", "nothing"], MISSING, "read key nothing: No such file"),
        (["--key", USER_CERT], BAD_INPUT, "expected a private key, got a certificate"),
        (["--key", USER_KEY, "--cert", USER_KEY], BAD_INPUT, "got private key"),
        (["--key", USER_KEY, "--cert", "nothing"], MISSING, "nothing: No such file"),
        (["--key", USER_KEY, "--parts", "nothing"], MISSING, "image.part.0: No such file"),
        ([], USAGE, "unbundle: expected --key or EC2_PRIVATE_KEY, got neither"),
    ],
)
def test_wrong_keys(
    good: Path, tmp_path: Path, arguments: list[str | Path], code: int, pattern: str
) -> None:
    manifest = good / "image.manifest.xml"
    outcome = run_cli("unbundle", manifest, "-o", tmp_path / "back", *arguments, directory=tmp_path)
    check_refused(outcome, code, pattern)
    assert listing(tmp_path) == {}


def test_the_cloud_opens_a_bundle_with_its_own_key(good: Path, tmp_path: Path) -> None:
    manifest = good / "image.manifest.xml"
    output = tmp_path / "back"
    outcome = run_cli("unbundle", manifest, "-o", output, "--key", EC2_KEY, "--as-ec2")
    assert outcome.code == 0
    assert outcome.errors == (
        "ami-bundler: warning: the signature is not checked: no --cert is given\n"
    )
    assert output.read_bytes() == (good.parent / "image").read_bytes()
    assert output.stat().st_mode & 0o777 == 0o600


def test_a_manifest_changed_behind_the_signature(good: Path, tmp_path: Path) -> None:
    directory = copytree(good, tmp_path / "bundle")
    manifest = directory / "image.manifest.xml"
    manifest.write_bytes(manifest.read_bytes().replace(b"x86_64", b"i386"))
    outcome = run_cli("unbundle", manifest, "-o", tmp_path / "back", *KEYS)
    check_refused(outcome, NOT_VERIFIED, "the signature does not hold; the manifest was changed")
    check_refused(run_cli("verify", manifest, "--cert", USER_CERT), NOT_VERIFIED, "does not hold")
    # Without a certificate it opens, with a warning that says so.
    outcome = run_cli("unbundle", manifest, "-o", tmp_path / "back", "--key", USER_KEY)
    assert outcome.code == 0
    assert "the signature is not checked" in outcome.errors


def make_file(path: Path) -> None:
    path.write_bytes(b"old")


def make_link(path: Path) -> None:
    path.symlink_to("elsewhere")


@pytest.mark.parametrize(
    ("make", "more", "code", "pattern"),
    [
        (make_file, [], USAGE, "the file exists; --force replaces it"),
        (Path.mkdir, [], BAD_INPUT, "expected no file or a regular one"),
        (Path.mkdir, ["--force"], BAD_INPUT, "expected no file or a regular one"),
        (os.mkfifo, ["--force"], BAD_INPUT, "expected no file or a regular one"),
        (make_link, ["--force"], BAD_INPUT, "expected no file or a regular one"),
    ],
)
def test_the_output_is_there(
    good: Path,
    tmp_path: Path,
    make: Callable[[Path], None],
    more: list[str],
    code: int,
    pattern: str,
) -> None:
    output = tmp_path / "back"
    make(output)
    before = listing(tmp_path)
    manifest = good / "image.manifest.xml"
    check_refused(run_cli("unbundle", manifest, "-o", output, *KEYS, *more), code, pattern)
    assert listing(tmp_path) == before


def test_the_output_is_replaced_by_force(good: Path, tmp_path: Path) -> None:
    output = tmp_path / "back"
    output.write_bytes(b"old" * 100_000)
    manifest = good / "image.manifest.xml"
    assert run_cli("unbundle", manifest, "-o", output, *KEYS, "--force").code == 0
    assert output.read_bytes() == (good.parent / "image").read_bytes()


@pytest.mark.parametrize(
    ("output", "code", "pattern"),
    [
        ("nothing/back", MISSING, "write to nothing: no such directory"),
        ("file/back", BAD_INPUT, "write to file: expected a directory"),
        ("/dev/full", BAD_INPUT, "expected no file or a regular one"),
        ("x" * 300, HOST, "File name too long"),
    ],
)
def test_the_output_cannot_be_made(
    good: Path, tmp_path: Path, output: str, code: int, pattern: str
) -> None:
    (tmp_path / "file").touch()
    before = listing(tmp_path)
    manifest = good / "image.manifest.xml"
    outcome = run_cli("unbundle", manifest, "-o", output, *KEYS, directory=tmp_path)
    check_refused(outcome, code, pattern)
    assert listing(tmp_path) == before


@pytest.mark.parametrize("name", ["plain/tiny.img", "full/full", "old/v3", "old/v20070829"])
def test_bundles_of_ami_tools_verify(name: str) -> None:
    manifest = VECTORS / f"{name}.manifest.xml"
    parts = ("--parts", VECTORS / "plain") if name.startswith("old/") else ()
    for keys in (("--cert", USER_CERT), DEEP, ("--cert", USER_CERT, "--deep", "--key", USER_KEY)):
        outcome = run_cli("verify", manifest, *parts, *keys)
        assert (outcome.code, outcome.errors) == (0, "")
        assert outcome.text == f"{manifest}: ok, 1 parts\n"


def test_verify_wants_a_key_for_deep(good: Path) -> None:
    manifest = good / "image.manifest.xml"
    outcome = run_cli("verify", manifest, "--deep")
    check_refused(outcome, USAGE, "expected --key or EC2_PRIVATE_KEY, got neither")
    outcome = run_cli("verify", manifest, "--key", USER_KEY)
    check_refused(outcome, USAGE, "--key is for --deep")


def test_the_output_is_no_input(good: Path) -> None:
    manifest = good / "image.manifest.xml"
    key = good / "key.pem"
    key.write_bytes(USER_KEY.read_bytes())
    before = listing(good)
    for output in (manifest, good / "image.part.0", key):
        outcome = run_cli("unbundle", manifest, "--key", key, "--output", output, "--force")
        check_refused(outcome, USAGE, "this is one of the inputs")
    assert listing(good) == before
