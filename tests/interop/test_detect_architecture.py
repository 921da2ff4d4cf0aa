"""The architecture of real ext file systems, bare and in partitions."""

import random
import struct
from pathlib import Path

import pytest

from bundler.host.image_file import ImageSource
from bundler.model.image import Architecture
from bundler.workflow.detect_architecture import detect_architecture
from tests.support.tools import use_tool

MIB = 1024 * 1024
MACHINES = {Architecture.I386: 3, Architecture.X86_64: 62, Architecture.ARM64: 183}


def make_root(directory: Path, machine: int, *, only_shell: bool = False) -> Path:
    """A usr-merged root: /sbin/init is two links away from its program."""
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 3, machine)
    for name in ("usr/bin", "usr/sbin", "usr/lib/systemd"):
        (directory / name).mkdir(parents=True)
    (directory / "sbin").symlink_to("usr/sbin")
    (directory / "bin").symlink_to("/usr/bin")
    (directory / "usr/bin/dash").write_bytes(header.ljust(5000, b"\1"))
    (directory / "usr/bin/sh").symlink_to("dash")
    for number in range(400):  # directories of several blocks
        (directory / f"usr/bin/program-with-a-long-name-{number}").touch()
    if not only_shell:
        (directory / "usr/lib/systemd/systemd").write_bytes(header.ljust(70000, b"\2"))
        (directory / "usr/sbin/init").symlink_to("../lib/systemd/systemd")
    return directory


def make_file_system(path: Path, root: Path, kind: str, *options: str) -> bytes:
    with path.open("wb") as file:
        file.truncate(16 * MIB)
    use_tool("mke2fs", "-q", "-F", "-t", kind, *options, "-d", root, path)
    return path.read_bytes()


def detect(path: Path) -> Architecture | None:
    with ImageSource.open(path) as source:
        return detect_architecture(source)


@pytest.mark.parametrize("kind", ["ext2", "ext3", "ext4"])
@pytest.mark.parametrize("architecture", list(Architecture))
def test_a_bare_file_system_tells(tmp_path: Path, kind: str, architecture: Architecture) -> None:
    root = make_root(tmp_path / "root", MACHINES[architecture])
    make_file_system(tmp_path / "image", root, kind)
    assert detect(tmp_path / "image") is architecture


@pytest.mark.parametrize(
    "options", [("-b", "1024"), ("-b", "4096"), ("-O", "64bit"), ("-I", "128")]
)
def test_features_and_block_sizes(tmp_path: Path, options: tuple[str, ...]) -> None:
    root = make_root(tmp_path / "root", 183, only_shell=True)
    make_file_system(tmp_path / "image", root, "ext4", *options)
    assert detect(tmp_path / "image") is Architecture.ARM64


def mbr(kind: int) -> bytes:
    entry = bytes([0x80, 0, 0, 0, kind, 0, 0, 0]) + struct.pack("<II", 2048, 16 * MIB // 512)
    return bytes(446) + entry + bytes(48) + b"\x55\xaa"


def gpt() -> bytes:
    header = b"EFI PART" + bytes(64) + struct.pack("<QII", 2, 128, 128)
    entry = bytes(range(16)) + bytes(16) + struct.pack("<QQ", 2048, 2048 + 32768 - 1)
    return mbr(0xEE) + header.ljust(512, b"\0") + bytes(128) + entry


@pytest.mark.parametrize("table", [mbr(0x83), gpt()], ids=["mbr", "gpt"])
def test_a_partition_tells(tmp_path: Path, table: bytes) -> None:
    root = make_root(tmp_path / "root", 62)
    data = make_file_system(tmp_path / "part", root, "ext4")
    (tmp_path / "image").write_bytes(table.ljust(MIB, b"\0") + data)
    assert detect(tmp_path / "image") is Architecture.X86_64


@pytest.mark.parametrize("machine", [0, 8, 243])
def test_another_machine_tells_nothing(tmp_path: Path, machine: int) -> None:
    make_file_system(tmp_path / "image", make_root(tmp_path / "root", machine), "ext4")
    assert detect(tmp_path / "image") is None


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "root/sbin").mkdir(parents=True)
    (tmp_path / "root/sbin/init").symlink_to("/sbin/init")
    (tmp_path / "root/bin").symlink_to("bin")
    make_file_system(tmp_path / "image", tmp_path / "root", "ext4")
    assert detect(tmp_path / "image") is None


def test_damage_never_raises(tmp_path: Path) -> None:
    data = make_file_system(tmp_path / "part", make_root(tmp_path / "root", 62), "ext4")
    used = [start for start in range(0, len(data), 1024) if any(data[start : start + 1024])][:64]
    chance = random.Random(1)
    image = tmp_path / "image"
    found = set()
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(chance.randrange(1, 40)):
            damaged[chance.choice(used) + chance.randrange(1024)] = chance.randrange(256)
        image.write_bytes(damaged)
        found.add(detect(image))
    assert None in found
