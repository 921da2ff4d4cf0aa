"""What goes wrong while a volume is imaged: told in a line, and nothing is left behind.

Programs of the image's making are stood in for by scripts of the same name, ahead on PATH,
that do something first: so each phase is hit, without a guess at the time.
"""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.privileged import check_no_traces, require_root, traces
from tests.support.tools import TIMEOUT, Outcome, check_refused, require_tool, start_cli
from tests.support.volumes import KEYS, make_tree, run_volume

PROGRAMS = ("mke2fs", "rsync")


@pytest.fixture(autouse=True)
def _leaves_no_trace(tmp_path: Path) -> Iterator[None]:
    before = traces(tmp_path)
    yield
    check_no_traces(tmp_path, before)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    require_root()
    (tmp_path / "out").mkdir()
    (tmp_path / "bin").mkdir()
    return make_tree(tmp_path / "tree")


def write_script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def run(tree: Path, *more: str | Path, stand_in: tuple[str, str] = ("", "")) -> Outcome:
    """Bundle the tree; `stand_in` is a program, and what is done before it is run."""
    name, text = stand_in
    if name:
        write_script(tree.parent / "bin" / name, f'{text}\nexec {require_tool(name)} "$@"')
    path = f"{tree.parent / 'bin'}:{os.environ['PATH']}"
    out = tree.parent / "out"
    return run_volume("--volume", tree, "-d", out, *KEYS, *more, variables={"PATH": path})


def check_nothing(tree: Path) -> None:
    """Assert that there is no file in the destination."""
    assert [path for path in (tree.parent / "out").rglob("*") if not path.is_dir()] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("program", PROGRAMS)
def test_an_interruption_in_any_program(tree: Path, program: str, number: signal.Signals) -> None:
    outcome = run(tree, stand_in=(program, f"kill -{int(number)} $PPID; exec sleep 5"))
    if number is signal.SIGKILL:
        assert outcome.code == -number
    else:
        check_refused(outcome, 130, "interrupted$")
    check_nothing(tree)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interruption_while_the_image_is_finished(tree: Path, number: signal.Signals) -> None:
    script = write_script(tree.parent / "script", f"kill -{int(number)} $PPID; exec sleep 5")
    outcome = run(tree, "--script", script)
    assert outcome.code == (130 if number is signal.SIGINT else -number)
    check_nothing(tree)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interruption_while_the_bundle_is_made(tree: Path, number: signal.Signals) -> None:
    """The signal comes when the first part lies in the hidden directory of the bundle."""
    (tree / "home/user/large").write_bytes(os.urandom(64 << 20))
    out = tree.parent / "out"
    words = ("--volume", tree, "-d", out, *KEYS, "--level", "small", "--part-size", "1M")
    with start_cli("volume", *words) as process:
        while not (out / ".image.partial/0").exists():
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(number)
        process.communicate(timeout=TIMEOUT)
    assert process.returncode == (130 if number is signal.SIGINT else -number)
    shown = [path.name for path in out.iterdir() if not path.name.startswith(".")]
    assert shown == []
    if number is signal.SIGINT:
        check_nothing(tree)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_that_is_killed(tree: Path, program: str) -> None:
    outcome = run(tree, stand_in=(program, "kill -9 $$"))
    check_refused(outcome, 8, f"{program}.*signal 9")
    check_nothing(tree)


def test_a_partial_copy_is_a_failure(tree: Path) -> None:
    outcome = run(tree, stand_in=("rsync", 'echo "rsync: read errors mapping x" >&2; exit 23'))
    check_refused(outcome, 8, "rsync, exit status 23: rsync: read errors mapping x$")
    check_nothing(tree)


def test_files_that_vanish_are_listed_and_the_image_is_made(tree: Path) -> None:
    outcome = run(tree, stand_in=("rsync", f"rm {tree}/.top {tree}/home/user/pipe"))
    assert outcome.code == 0, outcome.errors
    assert "2 files vanished before they were copied: /.top, /home/user/pipe\n" in outcome.errors
    report = (tree.parent / "out/image.report.txt").read_text()
    assert "vanished before they were copied: 2\n  /.top\n  /home/user/pipe\n" in report


def test_a_script_that_fails_or_stays(tree: Path) -> None:
    script = write_script(tree.parent / "script", "echo no good >&2; exit 3")
    check_refused(run(tree, "--script", script), 8, "run script: expected exit status 0, got 3: no")
    write_script(script, f'(cd "$1"; exec sleep 60) & echo $! > {tree.parent}/pid')
    outcome = run(tree, "--script", script)
    os.kill(int((tree.parent / "pid").read_text()), signal.SIGKILL)
    check_refused(outcome, 8, r"unmount image: process \d+ \(sleep\) still uses it")
    check_nothing(tree)


@pytest.mark.parametrize(
    ("megabytes", "pattern"),
    [
        (0.1, "run mke2fs: .*"),  # not even the file system
        (3, "write the image's /: .*(no room|disk full)"),  # the kernel tells of it only in the end
        (6, "write bundle to .*: no room: "),
    ],
)
def test_a_full_disk(tree: Path, megabytes: float, pattern: str) -> None:
    (tree / "home/user/large").write_bytes(os.urandom(4 << 20))
    code = f'mount -t tmpfs -o size={int(megabytes * 1024)}k tmpfs {tree.parent}/out; exec "$@"'
    wrapper = ("unshare", "--mount", "sh", "-c", code, "sh")
    out = tree.parent / "out"
    outcome = run_volume("--volume", tree, "-d", out, *KEYS, "--no-space-check", wrapper=wrapper)
    check_refused(outcome, 8, pattern)


def test_room_is_looked_for_first(tree: Path) -> None:
    code = f'mount -t tmpfs -o size=9m tmpfs {tree.parent}/out; exec "$@"'
    wrapper = ("unshare", "--mount", "sh", "-c", code, "sh")
    out = tree.parent / "out"
    outcome = run_volume("--volume", tree, "-d", out, *KEYS, wrapper=wrapper)
    check_refused(outcome, 8, "look for room in .*: expected .* bytes free .*--scratch-dir")


def test_the_script_sees_the_image_and_its_changes_are_in_it(tree: Path) -> None:
    write_script(
        tree.parent / "script", 'test -e "$1/home/user/first" && echo mine > "$1/etc/hostname"'
    )
    outcome = run(tree, "--script", tree.parent / "script")
    assert outcome.code == 0, outcome.errors


def test_unreadable_destination_and_wrong_words(tree: Path) -> None:
    out = tree.parent / "out"
    for words, pattern in (
        ((), "expected either -d DIR or s3://BUCKET/PREFIX"),
        (("-d", out, "s3://bucket/x"), "expected either"),
        (("-d", out, "--partition", "lvm"), "--partition 'lvm': expected one of"),
        (("-d", out, "--size", "10M"), "--size '10M': expected auto, or a number of MiB"),
        (("-d", out, "--size", "1"), "--size: expected at least [0-9]+ MiB .* got 1$"),
        (("-d", out, "--script", tree / ".top"), "not executable"),
        (("-d", out, "--ami-name", "x"), "--ami-name: expected s3://"),
        (("-d", out, "--clone-only", "--consume"), "--clone-only, --consume: expected one"),
        (("-d", out, "--clone-only", "-p", "../x"), "'../x' is not a plain file name"),
        (("-d", out, "--snapshot", "zfs"), "--snapshot 'zfs': expected one of"),
        (("-d", out, "--partition", "none", "--firmware", "bios"), "none, --firmware: expected"),
        (("-d", tree), "-d .*tree: expected another directory than the volume's own"),
    ):
        check_refused(run_volume("--volume", tree, *words, *KEYS), 2, pattern)
    check_refused(run_volume("--volume", out / "no", "-d", out, *KEYS), 5, "No such file")
    report = ("--report", out / "no/report", "--clone-only")
    check_refused(run_volume("--volume", tree, "-d", out, *report), 5, "no: no such directory")
    check_refused(run_volume("--volume", tree / ".top", "-d", out, *KEYS), 3, "a directory")
    check_nothing(tree)
