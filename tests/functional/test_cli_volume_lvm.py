"""ami-bundler volume of a file system on LVM, by programs that stand in for LVM's.

There is no device mapper here: lvs tells that the loop device that the volume is mounted from
is a logical volume, lvcreate has another file system ready in the snapshot's place, and both
and lvremove write down what they were asked for.
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.privileged import check_no_traces, require_root, run_python, traces
from tests.support.tools import cli_argv, use_tool
from tests.support.volumes import describe_image

MIB = 1024 * 1024
GIB = 1024 * MIB

HARNESS = """
import json, os, subprocess, sys
from contextlib import ExitStack
from pathlib import Path
from bundler.host.loop_device import attach
from bundler.host.mounts import enter_mount_namespace, mounted
state, kind, point, *argv = sys.argv[1:]
volume = Path(state, "volume")
enter_mount_namespace()
with ExitStack() as stack:
    origin, snapshot = (
        stack.enter_context(attach(stack.enter_context(open(Path(state, name), "r+b")).fileno()))
        for name in ("origin", "copy")
    )
    stack.enter_context(mounted(origin, volume, kind))
    (volume / "live").write_text("live")
    number = os.stat(volume).st_dev
    Path(state, "devices").write_text(f"{os.major(number)} {os.minor(number)} {snapshot}")
    os.environ["PATH"] = f"{state}/bin:{os.environ['PATH']}"
    sys.exit(subprocess.run([*argv, "--volume", str(volume) + point]).returncode)
"""

LVS = """
read -r major minor snapshot < {state}/devices
echo "  vg|root|/dev/vg/root|{attributes}|10737418240|{free}||$major|$minor"
echo "  vg|swap|/dev/vg/swap|-wi-ao----|1073741824|{free}||254|9"
echo "  vg|[pool_tmeta]||ewi-ao----|4194304|{free}||254|10"
for name in $(cat {state}/snapshots); do
  echo "  vg|$name|$snapshot|{found}|2147483648|{free}|{percent}|254|11"
done
"""
"""As lvs 2.03 prints it."""

LVCREATE = """
echo "lvcreate $*" >> {state}/log
echo "$3" >> {state}/snapshots
{more}
"""

LVREMOVE = """
echo "lvremove $*" >> {state}/log
grep -vx "${{2#vg/}}" {state}/snapshots > {state}/rest
mv {state}/rest {state}/snapshots
"""


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    require_root()
    for name in ("bin", "out", "volume", "place"):
        (tmp_path / name).mkdir()
    for name in ("snapshots", "log"):
        (tmp_path / name).touch()
    before = traces(tmp_path)
    yield tmp_path
    check_no_traces(tmp_path, before)


def make_programs(
    state: Path,
    *,
    free: int = 3 * GIB,
    attributes: str = "owi-aos---",
    found: str = "swi-a-s---",
    percent: str = "12.50",
    more: str = "",
) -> None:
    """The machine's LVM: what lvs tells, and what lvcreate does besides."""
    words = {"state": state, "free": free, "attributes": attributes, "more": more}
    words |= {"found": found, "percent": percent}
    for name, text in (("lvs", LVS), ("lvcreate", LVCREATE), ("lvremove", LVREMOVE)):
        path = state / "bin" / name
        path.write_text("#!/bin/sh\n" + text.format(**words))
        path.chmod(0o755)


def make_file_systems(state: Path, kind: str = "ext4") -> None:
    """The origin, and its snapshot: that has a file that the origin has no more."""
    origin = state / "origin"
    origin.touch()
    os.truncate(origin, (300 if kind == "xfs" else 16) * MIB)
    use_tool(f"mkfs.{kind}", "-q", "-F" if kind == "ext4" else "-f", origin)
    use_tool("cp", "--sparse=always", origin, state / "copy")
    if kind == "ext4":
        use_tool("debugfs", "-w", "-R", "mkdir earlier", state / "copy")


def run(
    state: Path,
    *more: str,
    kind: str = "ext4",
    point: str = "",
    task: tuple[str, ...] = ("volume",),
) -> tuple[int, str, list[str]]:
    """Exit code, what was said, and what LVM's programs were asked for, with no random names."""
    words = ("--snapshot", "lvm", "--clone-only", "--partition", "none", "-d", state / "out")
    argv = cli_argv(*task, *words, *more)
    done = run_python(HARNESS, state, kind, point, *argv)
    asked = (state / "log").read_text().splitlines()
    hidden = [
        " ".join(word.partition("snapshot-")[0] or word for word in line.split()) for line in asked
    ]
    return done.returncode, done.stdout + done.stderr, hidden


@pytest.mark.parametrize(("kind", "word"), [("ext4", "lvm"), ("xfs", "auto")])
def test_the_files_are_those_of_a_snapshot_that_is_removed(
    state: Path, kind: str, word: str
) -> None:
    make_programs(state)
    make_file_systems(state, kind)
    code, said, asked = run(state, "--snapshot", word, kind=kind)
    assert code == 0, said
    assert asked == [
        f"lvcreate --snapshot --name ami-bundler- --size {2 * GIB}b vg/root",
        "lvremove --yes vg/ami-bundler-",
    ]
    found = describe_image(state / "out/image", state / "place", kind)
    assert "'live'" not in found
    assert ("'earlier'" in found) == (kind == "ext4")


def test_a_thin_snapshot_has_no_size(state: Path) -> None:
    make_programs(state, attributes="Vwi-aotz--", found="Vwi-aotz--", percent="100.00", free=0)
    make_file_systems(state)
    code, said, asked = run(state)
    assert code == 0, said
    assert asked[0] == "lvcreate --snapshot --name ami-bundler- -kn vg/root"


def test_a_snapshot_gets_no_more_than_there_is(state: Path) -> None:
    make_programs(state, free=4 * MIB)
    make_file_systems(state)
    code, said, asked = run(state)
    assert code == 0, said
    assert f"--size {4 * MIB}b" in asked[0]


@pytest.mark.parametrize(
    ("settings", "code", "words", "is_removed"),
    [
        ({"free": 0}, 8, "expected room in the volume group vg, got none", False),
        ({"percent": "100.00"}, 8, "cannot be trusted", True),
        ({"found": "swi-I-s---"}, 8, "cannot be trusted", True),
        ({"more": "echo too much >&2; exit 5"}, 8, "run lvcreate: .* 5: too much", True),
        ({"more": "kill -INT $PPID; sleep 0.2"}, 130, "interrupted", True),
        ({"attributes": "x"}, 8, "run lvs: expected 9 columns", False),
    ],
)
def test_a_failure_leaves_neither_image_nor_snapshot(
    state: Path, settings: dict[str, str], code: int, words: str, *, is_removed: bool
) -> None:
    make_programs(state, **settings)  # type: ignore[arg-type]
    make_file_systems(state)
    found, said, asked = run(state)
    assert found == code, said
    assert re.search(words, said), said
    assert (asked[-1:] == ["lvremove --yes vg/ami-bundler-"]) == is_removed
    assert (state / "snapshots").read_text() == ""
    assert list((state / "out").iterdir()) == []


def test_what_a_killed_run_has_left_is_removed_unless_it_is_open(state: Path) -> None:
    make_programs(state)
    make_file_systems(state)
    (state / "snapshots").write_text("ami-bundler-snapshot-0\nhome-snapshot\n")
    code, said, asked = run(state)
    assert code == 0, said
    assert "vg/ami-bundler-snapshot-0, which an earlier run has left, was removed" in said
    assert [line.split()[0] for line in asked] == ["lvremove", "lvcreate", "lvremove"]
    assert (state / "snapshots").read_text() == "home-snapshot\n"


def test_doctor_finds_what_would_end_it_and_makes_no_snapshot(state: Path) -> None:
    make_file_systems(state)
    make_programs(state)
    code, said, asked = run(state, "--json", task=("doctor", "volume"))
    assert code == 0, said
    assert "copied from snapshots: / (lvm)" in said
    make_programs(state, free=0)
    code, said, asked = run(state, "--json", task=("doctor", "volume"))
    (failed,) = (one for one in json.loads(said)["findings"] if one["status"] == "fail")
    assert (code, failed["check"]) == (8, "consistency")
    assert asked == []


@pytest.mark.parametrize("point", ["", "/lost+found"])
def test_without_a_logical_volume_it_is_said_what_the_root_is(state: Path, point: str) -> None:
    make_file_systems(state)
    code, said, _ = run(state, point=point)
    assert code == 2
    assert "to be on a logical volume, got " in said
    assert "ext4" in said
