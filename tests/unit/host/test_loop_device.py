"""Loop devices, as the kernel gives and frees them."""

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from bundler.errors import MissingError
from bundler.host.files import scratch_file
from bundler.host.loop_device import attach
from tests.support.privileged import check_no_traces, require_root, run_python, traces

KILLED = """
import os, signal, sys
from pathlib import Path
from bundler.host.loop_device import attach
with attach(Path(sys.argv[1])) as device:
    print(Path(f"/sys/block/{device.name}/loop/backing_file").read_text().strip(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def _as_root() -> None:
    require_root()


def test_a_piece_of_a_file_without_a_name_is_a_device(tmp_path: Path) -> None:
    with scratch_file(tmp_path) as file:
        file.truncate(1024 * 1024)
        with attach(file.fileno(), offset=4096, size=8192) as device:
            descriptor = os.open(device, os.O_RDWR)
            assert os.lseek(descriptor, 0, os.SEEK_END) == 8192
            os.pwrite(descriptor, b"here", 512)
            os.close(descriptor)
        assert os.pread(file.fileno(), 6, 4096 + 511) == b"\0here\0"


def test_one_for_reading_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(4096))
    with attach(path, read_only=True) as device, pytest.raises(PermissionError):
        device.write_bytes(b"x" * 512)
    assert path.read_bytes() == bytes(4096)


def test_more_than_eight_at_once_are_all_different(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(4096))
    before = traces(tmp_path)
    with ExitStack() as stack:
        devices = {stack.enter_context(attach(path)) for _ in range(12)}
        assert len(devices) == 12
    check_no_traces(tmp_path, before)


def test_a_killed_process_leaves_no_device(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(4096))
    before = traces(tmp_path)
    done = run_python(KILLED, path)
    assert done.returncode == -9
    assert done.stdout.strip() == str(path)
    check_no_traces(tmp_path, before)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(MissingError, match=r"attach .*none: No such file"),
        attach(tmp_path / "none"),
    ):
        pass
