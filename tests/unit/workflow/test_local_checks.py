"""What doctor finds on this machine: keys, image, disk, programs."""

import os
import struct
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bundler.errors import ExistsError, HostError, InputError, MissingError, UsageError
from bundler.host.image_file import ImageSource
from bundler.model.bundle import MIB, CompressionLevel
from bundler.model.image import Architecture, VirtualizationType
from bundler.workflow.bundle_image import plan_bundle
from bundler.workflow.doctor import Finding, Status
from bundler.workflow.image_contents import ImageContents, find_contents
from bundler.workflow.keys import write_key_pair
from bundler.workflow.local_checks import (
    check_architecture,
    check_compressor,
    check_contents,
    check_disk,
    check_ec2_key,
    check_keys,
    check_plan,
    check_program,
    check_state,
    format_size,
)
from tests.support.bundles import EC2_CERT, USER_CERT, USER_KEY
from tests.support.images import Layout, dense, layout_data, striped, write_image
from tests.support.tools import use_tool

HVM, PARAVIRTUAL = VirtualizationType.HVM, VirtualizationType.PARAVIRTUAL
DISK = ImageContents(
    other_format="",
    partition_table="MBR",
    has_boot_code=True,
    ext_offsets=(MIB,),
    architecture=None,
)
FILE_SYSTEM = ImageContents(
    other_format="",
    partition_table="",
    has_boot_code=False,
    ext_offsets=(0,),
    architecture=None,
)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "pk.pem"
    path.write_bytes(USER_KEY.read_bytes())
    path.chmod(0o600)
    return path


def nobody() -> None:
    """Nobody knows a passphrase."""


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (10 * MIB, "10 MiB"),
        (10240 * MIB, "10 GiB"),
    ],
)
def test_sizes(size: int, words: str) -> None:
    assert format_size(size) == words


def test_keys(key: Path) -> None:
    (finding,) = check_keys(key, USER_CERT, nobody)
    assert finding.status is Status.OK
    assert "RSA, 2048 bits" in finding.message


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_that_others_may_read(key: Path, mode: int) -> None:
    key.chmod(mode)
    good, warning = check_keys(key, USER_CERT, nobody)
    assert (good.status, warning.status) == (Status.OK, Status.WARN)
    assert warning.remedy == f"chmod 600 {key}"


def test_a_short_key(tmp_path: Path) -> None:
    key, certificate = tmp_path / "k", tmp_path / "c"
    use_tool(
        *("openssl", "req", "-x509", "-newkey", "rsa:1024", "-nodes", "-subj", "/CN=x"),
        *("-keyout", key, "-out", certificate),
    )
    key.chmod(0o600)
    (finding,) = check_keys(key, certificate, nobody)
    assert finding.status is Status.WARN
    assert "1024 bits" in finding.message


def test_keys_that_cannot_be_used(key: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not fit"):
        list(check_keys(key, EC2_CERT, nobody))
    with pytest.raises(MissingError, match="No such file"):
        list(check_keys(tmp_path / "none", USER_CERT, nobody))
    with pytest.raises(InputError, match="expected a private key, got a certificate"):
        list(check_keys(USER_CERT, USER_CERT, nobody))


def test_a_key_with_a_passphrase(tmp_path: Path) -> None:
    key, certificate = tmp_path / "k", tmp_path / "c"
    now = datetime(2026, 1, 1, tzinfo=UTC)
    write_key_pair(key, certificate, common_name="x", now=now, passphrase=b"secret", force=False)
    (finding,) = check_keys(key, certificate, lambda: b"secret")
    assert finding.status is Status.OK
    with pytest.raises(InputError, match="needs a passphrase"):
        list(check_keys(key, certificate, nobody))


def statuses(findings: list[Finding]) -> list[Status]:
    return [finding.status for finding in findings]


def test_the_key_of_ec2() -> None:
    def check(partition: str, certificate: Path | None, *, is_private_cloud: bool) -> list[Status]:
        found = check_ec2_key(partition, certificate, is_private_cloud=is_private_cloud)
        return statuses(list(found))

    assert check("aws-cn", None, is_private_cloud=False) == [Status.OK]
    assert check("aws", None, is_private_cloud=True) == [Status.WARN]
    assert check("unknown", EC2_CERT, is_private_cloud=True) == [Status.OK]
    with pytest.raises(UsageError, match="none is known for partition 'aws-iso'"):
        check("aws-iso", None, is_private_cloud=False)


@pytest.mark.parametrize(
    ("layout", "words"),
    [(dense(2 * MIB), "2 MiB, no holes"), (striped(2, run=MIB), "5 MiB, 2 MiB of it data")],
)
def test_the_size_of_an_image(tmp_path: Path, layout: Layout, words: str) -> None:
    path = write_image(tmp_path / "image", layout, layout_data(layout, 1))
    with ImageSource.open(path) as source:
        (finding,) = check_plan(plan_bundle(source, dig_holes=False, allow_large=False))
    assert words in finding.message


@pytest.mark.parametrize(
    ("contents", "kind", "status"),
    [
        (DISK, HVM, Status.OK),
        (DISK, PARAVIRTUAL, Status.OK),
        (FILE_SYSTEM, PARAVIRTUAL, Status.OK),
        (FILE_SYSTEM, HVM, Status.WARN),
    ],
)
def test_disks_and_file_systems(
    contents: ImageContents, kind: VirtualizationType, status: Status
) -> None:
    assert statuses(list(check_contents(contents, "x", kind))) == [status]


def partitioned(code: bytes) -> bytes:
    entry = struct.pack("<B3xB3xII", 0x80, 0x83, 2048, 2048)
    return code.ljust(446, b"\0") + entry.ljust(64, b"\0") + b"\x55\xaa"


@pytest.mark.parametrize(
    ("start", "status", "words"),
    [
        (partitioned(b"\xeb\x63"), Status.OK, "MBR partition table, boot code in its first sector"),
        (partitioned(b""), Status.WARN, "MBR partition table, no boot code in its first sector"),
        (b"nothing known", Status.WARN, "no partition table; no ext2, ext3 or ext4"),
    ],
)
def test_what_an_image_is(tmp_path: Path, start: bytes, status: Status, words: str) -> None:
    path = tmp_path / "image"
    path.write_bytes(start.ljust(MIB, b"\0"))
    with ImageSource.open(path) as source:
        (finding,) = check_contents(find_contents(source), str(path), HVM)
    assert finding.status is status
    assert words in finding.message


def test_what_is_no_raw_image(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"QFI\xfb".ljust(MIB, b"\0"))
    message = "expected a raw image, got qcow2 by its first bytes; make a raw image of it first"
    with ImageSource.open(path) as source, pytest.raises(InputError, match=message):
        list(check_contents(find_contents(source), str(path), HVM))


@pytest.mark.parametrize("offset", [0, MIB])
def test_file_systems_are_found(tmp_path: Path, offset: int) -> None:
    path = tmp_path / "image"
    path.write_bytes(partitioned(b"code") if offset else b"")
    os.truncate(path, 4 * MIB)
    use_tool("mke2fs", "-q", "-F", "-t", "ext4", "-E", f"offset={offset}", path, "2M")
    with ImageSource.open(path) as source:
        contents = find_contents(source)
    assert contents.ext_offsets == (offset,)
    assert contents.partition_table == ("MBR" if offset else "")
    assert contents.architecture is None


@pytest.mark.parametrize(
    ("found", "asked", "status"),
    [
        (Architecture.ARM64, None, Status.OK),
        (Architecture.ARM64, Architecture.ARM64, Status.OK),
        (Architecture.ARM64, Architecture.I386, Status.WARN),
        (None, Architecture.I386, Status.WARN),
        (None, None, Status.WARN),
    ],
)
def test_architectures(
    found: Architecture | None, asked: Architecture | None, status: Status
) -> None:
    assert statuses(list(check_architecture(found, asked, Architecture.X86_64))) == [status]


def test_room(tmp_path: Path) -> None:
    def check(size: int, *, force: bool = False) -> list[tuple[Status, int]]:
        found = check_disk(tmp_path, "x", size, force=force)
        return [(finding.status, finding.exit_code) for finding in found]

    assert check(1) == [(Status.OK, 0)]
    with pytest.raises(HostError, match=r"bytes free.*; make room, or give --no-space-check"):
        check(1 << 62)
    (finding,) = check_disk(tmp_path, "x", 1 << 62, force=False, may_be_full=True)
    assert finding.status is Status.WARN
    (tmp_path / "x.manifest.xml").write_bytes(b"")
    assert check(1, force=True) == [(Status.OK, 0)]
    with pytest.raises(ExistsError, match="--force replaces it"):
        check(1)
    with pytest.raises(MissingError):
        list(check_disk(tmp_path / "none", "x", 1, force=False))


def test_the_place_of_state(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    def check(path: Path, *, is_given: bool = True, is_unfinished: bool = False) -> list[Status]:
        return statuses(list(check_state(path, is_given=is_given, is_unfinished=is_unfinished)))

    assert check(tmp_path / "a/b") == [Status.OK]
    assert check(tmp_path, is_unfinished=True) == [Status.OK, Status.WARN]
    assert not (tmp_path / "a").exists()
    bad = tmp_path / "file/b"
    assert check(bad, is_given=False) == [Status.WARN]
    with pytest.raises(InputError, match="expected a directory"):
        check(bad)


def test_programs() -> None:
    (finding,) = check_program("sh", package="dash", what_for="all")
    assert finding.status is Status.OK
    (finding,) = check_program("no-such-program", package="none", what_for="nothing")
    assert finding.status is Status.WARN
    assert "install the package none" in finding.message


@pytest.mark.parametrize("level", CompressionLevel)
def test_the_compressor(level: CompressionLevel) -> None:
    (finding,) = check_compressor(level)
    assert finding.check == "compressor"
    assert finding.status in (Status.OK, Status.WARN)
