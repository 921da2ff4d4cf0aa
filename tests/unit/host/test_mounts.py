"""Private mounts: what they show, and that nothing of them is left."""

from pathlib import Path

import pytest

from bundler.host.mounts import PRIVATE_DIRECTORY
from tests.support.privileged import check_no_traces, require_root, run_python, traces

ENTER = """
import os, sys
from pathlib import Path
from bundler.errors import HostError
from bundler.host import mounts
mounts.enter_mount_namespace()
place = Path(sys.argv[1])
"""


@pytest.fixture(autouse=True)
def _as_root() -> None:
    require_root()


def run_inside(code: str, place: Path) -> str:
    """Run code in a mount namespace of its own; nothing may be left of it here."""
    before = traces(place)
    done = run_python(ENTER + code, place)
    check_no_traces(place, before)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_private_directory_is_seen_by_nobody_else_and_is_gone_afterwards(tmp_path: Path) -> None:
    code = """
with mounts.private_directory() as private:
    (private / "file").write_text("mine")
    print(private, sorted(os.listdir(private)))
    print(os.listdir(f"/proc/{os.getppid()}/root{private}"))
print(private.is_mount())
"""
    assert run_inside(code, tmp_path) == f"{PRIVATE_DIRECTORY} ['file']\n[]\nFalse\n"


def test_a_bound_directory_is_read_only_and_shows_what_lies_below_mounts(tmp_path: Path) -> None:
    (tmp_path / "source/below").mkdir(parents=True)
    (tmp_path / "source/below/hidden").write_text("x")
    (tmp_path / "view").mkdir()
    code = """
with mounts.in_memory(place / "source/below"):
    (place / "source/below/above").write_text("y")
    with mounts.bound(place / "source", place / "view", read_only=True):
        print(os.listdir(place / "view/below"))
        try:
            (place / "view/new").write_text("z")
        except OSError as error:
            print(error.strerror)
print(os.listdir(place / "view"))
"""
    assert run_inside(code, tmp_path) == "['hidden']\nRead-only file system\n[]\n"


def test_programs_find_no_disk_of_this_machine_in_dev(tmp_path: Path) -> None:
    code = """
os.umask(0o077)
with mounts.in_memory(place):
    with mounts.for_programs(place, {"": Path("/dev/loop0"), "1-2": Path("/dev/loop0")}):
        print(sorted(os.listdir(place / "dev")))
        print(oct((place / "dev/null").stat().st_mode), os.readlink(place / "dev/disk/by-uuid/1-2"))
        print((place / "proc/self/comm").read_text().strip() != "", os.listdir(place / "sys") != [])
        print(os.access(place / "sys/kernel/uevent_helper", os.W_OK))
    print(sorted(os.listdir(place)))
"""
    names = "console disk fd full loop0 null ptmx random stderr stdin stdout tty urandom zero"
    assert run_inside(code, tmp_path).splitlines() == [
        str(names.split()),
        "0o20666 ../../loop0",
        "True True",
        "False",
        "['dev', 'proc', 'sys']",
    ]


def test_a_link_in_place_of_dev_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "proc").symlink_to("/etc")
    code = """
try:
    with mounts.for_programs(place, {}):
        raise AssertionError
except HostError as error:
    print(error)
"""
    assert run_inside(code, tmp_path) == "mount in the image: /proc is no directory\n"


def test_a_busy_mount_is_told_with_the_process_and_is_gone(tmp_path: Path) -> None:
    code = """
try:
    with mounts.in_memory(place):
        held = os.open(place, os.O_RDONLY)
        open(place / "file", "w").close()
        file = os.open(place / "file", os.O_RDONLY)
except mounts.BusyError as error:
    print(str(error).replace(str(os.getpid()), "PID"))
print(os.listdir(place))
"""
    line = f"unmount {tmp_path.name}: process PID (python"
    output = run_inside(code, tmp_path)
    assert output.startswith(line)
    assert output.endswith("still uses it: the image is given up\n[]\n")


def test_static_devices_stay_if_they_are_there(tmp_path: Path) -> None:
    code = """
with mounts.in_memory(place):
    (place / "null").write_text("not mine")
    mounts.make_static_devices(place)
    print((place / "null").read_text(), oct((place / "console").stat().st_mode))
"""
    assert run_inside(code, tmp_path) == "not mine 0o20600\n"


def test_a_killed_process_leaves_nothing(tmp_path: Path) -> None:
    code = """
import signal
with mounts.private_directory() as private, mounts.in_memory(place):
    (place / "file").write_text("x")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    before = traces(tmp_path)
    done = run_python(ENTER + code, tmp_path)
    assert done.returncode == -9
    check_no_traces(tmp_path, before)
    assert list(tmp_path.iterdir()) == []
