"""ami-bundler volume --volume DIR by somebody who may not mount: root without the right to.

Programs of the image's making are stood in for by scripts of the same name, ahead on PATH.
"""

import json
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bundler.host.staging import PREFIX
from tests.support.bundles import USER_KEY
from tests.support.privileged import check_no_traces, require_root, run_python, traces
from tests.support.tools import Outcome, check_refused, cli_argv, require_tool, use_tool
from tests.support.volumes import TIME_NS, describe, describe_image, make_tree, run_volume

NO_MOUNTS = ("setpriv", "--bounding-set=-sys_admin")
NO_RIGHTS = ("setpriv", "--bounding-set=-all")
"""As any user has none; only that its files are those of user 0."""

ANOTHER_USER = (
    *("setpriv", "--securebits=+no_setuid_fixup", "--reuid=65534", "--regid=65534"),
    *("--clear-groups", "--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search"),
)
"""That may read all, and so gets at Python and the test's own directory."""

EPOCH = 1_600_000_000
NS = 1_000_000_000


@pytest.fixture(autouse=True)
def _leaves_no_trace(tmp_path: Path) -> Iterator[None]:
    require_root()
    before = traces(tmp_path)
    yield
    check_no_traces(tmp_path, before)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("out", "place", "bin"):
        (tmp_path / name).mkdir()
    root = make_tree(tmp_path / "tree")
    (root / "home/user/site.pem").write_bytes(USER_KEY.read_bytes())
    os.chown(root, 12, 345678)
    root.chmod(0o751)
    use_tool("setfacl", "-m", "u:99:rx", root)
    os.utime(root, ns=(TIME_NS, TIME_NS))
    return root


def run(tree: Path, *more: str | Path, wrapper: tuple[str, ...] = NO_MOUNTS) -> Outcome:
    out = tree.parent / "out"
    path = f"{tree.parent / 'bin'}:{os.environ['PATH']}"
    words = ("--volume", tree, "-d", out, "--clone-only", *more)
    return run_volume(*words, wrapper=wrapper, variables={"PATH": path})


def stand_in(tree: Path, program: str, text: str) -> None:
    """Have something done before a program is run."""
    script = tree.parent / "bin" / program
    script.write_text(f'#!/bin/sh\n{text}\nexec {require_tool(program)} "$@"\n')
    script.chmod(0o755)


def entries(tree: Path) -> list[str]:
    return sorted(path.name for path in (tree.parent / "out").iterdir())


def test_files_are_as_they_are_and_secrets_are_left_out(tree: Path) -> None:
    outcome = run(tree)
    assert outcome.code == 0, outcome.errors
    image = tree.parent / "out/image"
    assert use_tool("e2fsck", "-fn", image)
    wanted, found = describe(tree), describe_image(image, tree.parent / "place")
    assert found.keys() - wanted.keys() == {"'lost+found'"}
    assert wanted.keys() - found.keys() == {"'tmp/left'", "'home/user/site.pem'"}
    for name in found.keys() & wanted.keys():
        time = wanted[name]["time"]
        assert isinstance(time, int)
        if name != "'.'":
            wanted[name]["time"] = time // NS * NS
    for name in ("'etc/fstab'", "'etc/machine-id'"):
        for one in (wanted[name], found[name]):
            del one["time"], one["size"]
    assert found == {name: wanted[name] for name in found if name in wanted} | {
        "'lost+found'": found["'lost+found'"]
    }
    assert entries(tree) == ["image", "image.report.json", "image.report.txt"]
    report = json.loads((image.parent / "image.report.json").read_text())
    left_out = {one["path"] for one in report["left_out"]["files"]}
    assert left_out == {"/home/user/site.pem", "/tmp"}  # noqa: S108


def test_somebody_with_no_rights_writes_files_that_only_root_could(tree: Path) -> None:
    plain = tree.parent / "plain"
    (plain / "etc").mkdir(parents=True)
    (plain / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (plain / "etc/fstab").write_text("/dev/xvda1 / ext4 defaults 0 1\n")
    os.setxattr(plain / "etc/fstab", "user.comment", b"mine")
    (plain / "etc/fstab").chmod(0o440)
    (plain / "etc/machine-id").chmod(0o444)
    outcome = run(tree, "--volume", plain, wrapper=NO_RIGHTS)
    assert outcome.code == 0, outcome.errors
    found = describe_image(tree.parent / "out/image", tree.parent / "place")
    assert found["'etc/machine-id'"]["size"] == 0
    assert found["'etc/machine-id'"]["mode"] == oct(stat.S_IFREG | 0o444)
    assert found["'etc/fstab'"]["mode"] == oct(stat.S_IFREG | 0o440)
    assert found["'etc/fstab'"]["xattrs"] == {"user.comment": "b'mine'"}
    (plain / "etc/hostname").write_text("unreadable\n")
    (plain / "etc/hostname").chmod(0)
    refused = run(tree, "--volume", plain, "--force", wrapper=NO_RIGHTS)
    check_refused(refused, 8, "look at etc/hostname: Permission denied$")


def test_owners_that_cannot_be_kept_are_told(tree: Path) -> None:
    out, plain = tree.parent / "out", tree.parent / "plain"
    plain.mkdir()
    (plain / "theirs").touch()
    (plain / "mine").touch()
    for path in (out, plain, plain / "mine"):
        os.chown(path, 65534, 65534)
    outcome = run(tree, "--volume", plain, wrapper=ANOTHER_USER)
    assert outcome.code == 0, outcome.errors
    told = "for only root may give files away: 1, such as './theirs'\n"
    assert told in (out / "image.report.txt").read_text()
    found = describe_image(out / "image", tree.parent / "place")
    assert found["'theirs'"]["owner"] == found["'mine'"]["owner"] == [65534, 65534]


def test_what_is_mounted_inside_is_left_out(tree: Path) -> None:
    code = """
import subprocess, sys
from pathlib import Path
from bundler.host.mounts import enter_mount_namespace, in_memory
place, *argv = sys.argv[1:]
enter_mount_namespace()
with in_memory(Path(place)):
    Path(place, "in memory").write_text("gone when the machine stops")
    sys.exit(subprocess.run(argv).returncode)
"""
    out = tree.parent / "out"
    argv = cli_argv("volume", "--volume", tree, "-d", out, "--clone-only")
    done = run_python(code, tree / "var/empty", *NO_MOUNTS, *argv)
    assert done.returncode == 0, done.stderr
    found = describe_image(out / "image", tree.parent / "place")
    assert [name for name in found if name.startswith("'var/empty")] == ["'var/empty'"]
    report = json.loads((out / "image.report.json").read_text())
    assert "/var/empty" in [one["path"] for one in report["left_out"]["files"]]


def test_what_needs_root_is_refused(tree: Path) -> None:
    for words in (("--partition", "gpt"), ("--firmware", "bios"), ("--freeze",)):
        check_refused(run(tree, *words), 2, rf"{words[0]}: expected to be root \(CAP_SYS_ADMIN\)")
    check_refused(run(tree, "--snapshot", "btrfs"), 2, "--snapshot: expected to be root")
    check_refused(run(tree, "--volume", "/"), 8, r"volume /: expected to be root \(CAP_SYS_ADMIN\)")
    assert entries(tree) == []


@pytest.mark.parametrize("program", ["rsync", "mke2fs"])
def test_an_interruption_leaves_nothing(tree: Path, program: str) -> None:
    stand_in(tree, program, "kill -INT $PPID; exec sleep 5")
    check_refused(run(tree), 130, "interrupted$")
    assert entries(tree) == []


@pytest.mark.parametrize("program", ["rsync", "mke2fs"])
def test_what_a_killed_run_leaves_the_next_removes(tree: Path, program: str) -> None:
    stand_in(tree, program, "kill -KILL $PPID; exec sleep 5")
    assert run(tree).code == -9
    (left,) = entries(tree)
    assert left.startswith(PREFIX)
    (tree.parent / "bin" / program).unlink()
    outcome = run(tree)
    assert outcome.code == 0, outcome.errors
    assert left not in entries(tree)


def test_a_run_removes_nothing_of_one_that_is_alive(tree: Path) -> None:
    """The first one's script is the second run."""
    out, script = tree.parent / "out", tree.parent / "script"
    words = ("volume", "--volume", tree / "home", "-d", out, "--clone-only", "--name", "second")
    second = " ".join((*NO_MOUNTS, *cli_argv(*words)))
    script.write_text(
        f'#!/bin/sh\nPYTHONPATH={Path(__file__).parents[2]} {second} || exit 3\ncat "$1/.top"\n'
    )
    script.chmod(0o755)
    outcome = run(tree, "--script", script)
    assert outcome.code == 0, outcome.errors
    assert {"image", "second"} <= set(entries(tree))
    assert not any(name.startswith(PREFIX) for name in entries(tree))


def test_the_same_tree_gives_the_same_bytes(tree: Path) -> None:
    copy = tree.parent / "copy"
    subprocess.run([require_tool("cp"), "-a", tree, copy], check=True)  # noqa: S603  no shell
    images = list[Path]()
    for source, epoch in ((tree, EPOCH), (copy, EPOCH), (copy, EPOCH + 1)):
        out = tree.parent / f"out-{len(images)}"
        out.mkdir()
        outcome = run_volume(
            *("--volume", source, "-d", out, "--clone-only", "--size", "64"),
            wrapper=NO_MOUNTS,
            variables={"SOURCE_DATE_EPOCH": str(epoch)},
        )
        assert outcome.code == 0, outcome.errors
        use_tool("e2fsck", "-fn", out / "image")
        images.append(out / "image")
    first, second, third = images
    assert first.read_bytes() == second.read_bytes() != third.read_bytes()
    found = describe_image(first, tree.parent / "place")
    assert found["'etc/fstab'"]["time"] == EPOCH * NS  # it was changed
    assert found["'etc/hostname'"]["time"] == TIME_NS // NS * NS
