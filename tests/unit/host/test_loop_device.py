"""Loop devices: what they show, that two can be made at once, and that none is left."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bundler.errors import HostError
from bundler.host.loop_device import attach, read_only_loop
from tests.support.privileged import require_root
from tests.support.tools import TIMEOUT, cli_environment

BLOCK = 4096


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    """A file without a name: block n is full of byte n."""
    require_root()
    with tempfile.TemporaryFile(dir=tmp_path) as opened:
        opened.write(b"".join(bytes([number]) * BLOCK for number in range(8)))
        opened.flush()
        yield opened.fileno()


def backing(device: Path) -> Path:
    return Path("/sys/block", device.name, "loop/backing_file")


@pytest.mark.parametrize(
    ("offset", "size", "expected"), [(0, 0, 8), (BLOCK, 0, 7), (BLOCK, BLOCK, 1)]
)
def test_a_device_is_the_part_of_the_file(file: int, offset: int, size: int, expected: int) -> None:
    with attach(file, offset=offset, size=size) as device:
        data = device.read_bytes()
    assert (len(data), data[0]) == (expected * BLOCK, offset // BLOCK)


def test_what_is_written_to_a_device_comes_to_its_place_in_the_file(file: int) -> None:
    with attach(file, offset=BLOCK, size=BLOCK) as one, attach(file, offset=2 * BLOCK) as other:
        assert one != other
        with one.open("r+b") as opened:
            opened.write(b"x" * BLOCK)
            os.fsync(opened.fileno())
    assert os.pread(file, BLOCK + 1, BLOCK - 1) == b"\0" + b"x" * BLOCK


def test_a_read_only_device_refuses_to_be_written(file: int) -> None:
    with attach(file, read_only=True) as device, pytest.raises(PermissionError):
        device.open("r+b")
    with read_only_loop(file, BLOCK, BLOCK) as descriptor:
        assert os.pread(descriptor, 2 * BLOCK, 0) == b"\x01" * BLOCK


def test_a_killed_process_leaves_no_device(tmp_path: Path) -> None:
    require_root()
    place = tmp_path / "file"
    place.write_bytes(bytes(BLOCK))
    code = """
import os, sys
from bundler.host.loop_device import attach
with open(sys.argv[1], "r+b") as file, attach(file.fileno()) as device:
    print(device, flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(  # noqa: S603 - a test's own words, and no shell
        [sys.executable, "-c", code, str(place)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=cli_environment(),
    ) as child:
        assert child.stdout is not None
        device = Path(child.stdout.readline().strip())
        assert backing(device).read_text().strip() == str(place)
        child.send_signal(signal.SIGKILL)
        child.wait(TIMEOUT)
    assert not backing(device).exists() or backing(device).read_text().strip() != str(place)


def test_what_is_no_file_is_refused() -> None:
    require_root()
    reader, writer = os.pipe()
    try:
        with pytest.raises(HostError, match=r"make a loop device .*: "), attach(reader):
            pass
    finally:
        os.close(reader)
        os.close(writer)
