"""The programs that know of block devices."""

import os
from pathlib import Path

import pytest

from bundler.codec.block_devices import COLUMNS, parse_block_devices, parse_probe
from bundler.errors import HostError
from bundler.host.block_devices import ThisMachine
from tests.support.tools import lacking, require_tool, use_tool


def test_a_device_is_probed_and_not_in_the_way_of_udev(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.touch()
    os.truncate(image, 1024 * 1024)
    require_tool("blkid")
    assert ThisMachine().probe(image) == b""
    use_tool("mke2fs", "-q", "-t", "ext4", "-L", 'a "b', image)
    found = parse_probe(ThisMachine().probe(image))
    assert (found["ID_FS_TYPE"], found["ID_FS_LABEL_ENC"]) == ("ext4", 'a "b')


def test_an_old_lsblk_is_asked_for_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "lsblk"
    program.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        '--help) echo " -P, --pairs  pairs"; echo "  NAME  device name"; '
        'echo "MAJ:MIN  number";;\n'
        "'--pairs --bytes --output NAME,MAJ:MIN') echo good;;\n"
        "*) echo bad; exit 1;;\n"
        "esac\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert ThisMachine().block_devices(COLUMNS) == b"good\n"
    with pytest.raises(HostError, match="run lsblk"):
        ThisMachine().block_devices(["NAME"])


def test_this_machine_s_own() -> None:
    require_tool("lsblk")
    if not Path("/sys/dev/block").is_dir():
        lacking("needs /sys")
    for device in parse_block_devices(ThisMachine().block_devices(COLUMNS)):
        assert device.path.startswith("/dev/")
