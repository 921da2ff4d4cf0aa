"""ami-bundler volume of real mounted file systems: several, frozen, or from a snapshot.

They are mounted in a mount namespace of the test's own, by a program that then runs ours.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bundles import unbundle
from tests.support.privileged import check_no_traces, require_root, run_python, traces
from tests.support.tools import TIMEOUT, cli_argv, cli_environment, use_tool
from tests.support.volumes import KEYS, describe_image, make_tree, run_volume

MIB = 1024 * 1024

HARNESS = """
import json, subprocess, sys
from contextlib import ExitStack
from pathlib import Path
from bundler.host.loop_device import attach
from bundler.host.mounts import enter_mount_namespace, in_memory, mounted
from tests.support.volumes import make_tree
volume, sources, *argv = sys.argv[1:]
enter_mount_namespace()
with ExitStack() as stack:
    for point, kind, source in json.loads(sources):
        target = Path(volume + point)
        target.mkdir(parents=True, exist_ok=True)
        if kind == "tmpfs":
            stack.enter_context(in_memory(target))
            (target / "in memory").write_text("not copied")
            continue
        file = stack.enter_context(open(source, "r+b"))
        device = stack.enter_context(attach(file.fileno()))
        stack.enter_context(mounted(device, target, kind))
        if point == "/":
            make_tree(target)
        else:
            (target / "marker").write_text(point)
    sys.exit(subprocess.run(argv).returncode)
"""


@pytest.fixture(autouse=True)
def _leaves_no_trace(tmp_path: Path) -> Iterator[None]:
    require_root()
    before = traces(tmp_path)
    yield
    check_no_traces(tmp_path, before)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    for name in ("out", "place", "volume"):
        (tmp_path / name).mkdir()
    return tmp_path / "out"


def make_source(directory: Path, point: str, kind: str, size: int = 64) -> list[str]:
    """A new file system in a file, to be mounted at a point of the volume."""
    path = directory / f"source{point.replace('/', '-')}"
    with path.open("xb") as file:
        file.truncate(size * MIB)
    if kind != "tmpfs":
        use_tool(f"mkfs.{kind}", "-q", "-F" if kind.startswith("ext") else "-f", path)
    return [point, kind, str(path)]


def run_mounted(
    out: Path, sources: list[list[str]], *words: str | Path
) -> "subprocess.CompletedProcess[str]":
    volume = out.parent / "volume"
    argv = cli_argv("volume", "--volume", volume, "-d", out, *words)
    return run_python(HARNESS, volume, json.dumps(sources), *argv)


def probe(path: Path, offset: int = 0) -> dict[str, str]:
    lines = use_tool("blkid", "-p", "-O", str(offset), "-o", "export", path).decode().splitlines()
    return dict(line.partition("=")[::2] for line in lines)


def test_boot_stays_apart_and_other_mounts_are_merged_or_left_out(
    tmp_path: Path, out: Path
) -> None:
    sources = [
        make_source(tmp_path, "/", "xfs", 400),
        make_source(tmp_path, "/boot", "ext4"),
        make_source(tmp_path, "/tmp", "tmpfs"),  # noqa: S108
        make_source(tmp_path, "/mnt", "ext2"),
    ]
    words = ("--clone-only", "--partition", "gpt", "--boot-loader", "none", "--json", "--all")
    done = run_mounted(out, sources, *words)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    image = out / "image"
    boot, root = facts["disk"]["partitions"]
    assert [(one["mount_point"], one["type"]) for one in (boot, root)] == [
        ("/boot", "ext4"),
        ("/", "xfs"),
    ]
    for one, source in ((boot, sources[1]), (root, sources[0])):
        assert probe(image, one["offset"])["UUID"] == probe(Path(source[2]))["UUID"] == one["uuid"]
    found = describe_image(image, tmp_path / "place", "xfs", offset=root["offset"])
    assert "'home/user/first'" in found
    assert [name for name in found if name.startswith(("'boot/", "'tmp/", "'mnt/"))] == []
    found = describe_image(image, tmp_path / "place", offset=boot["offset"])
    assert "'marker'" in found
    report = json.loads((out / "image.report.json").read_text())
    assert [one["path"] for one in report["left_out_mounts"]] == ["/mnt", "/tmp"]  # noqa: S108


def test_btrfs_is_copied_from_a_snapshot_that_is_deleted(tmp_path: Path, out: Path) -> None:
    source = make_source(tmp_path, "/", "btrfs", 300)
    done = run_mounted(out, [source], "--clone-only", "--snapshot", "auto", "--partition", "none")
    assert done.returncode == 0, done.stderr
    assert "'home/user/first'" in describe_image(out / "image", tmp_path / "place", "btrfs")
    left = describe_image(Path(source[2]), tmp_path / "place", "btrfs")
    assert [name for name in left if "snapshot" in name] == []


def test_a_snapshot_is_refused_where_there_can_be_none(tmp_path: Path, out: Path) -> None:
    done = run_mounted(
        out, [make_source(tmp_path, "/", "ext4")], "--clone-only", "--snapshot", "btrfs"
    )
    assert done.returncode == 2
    assert "--snapshot btrfs: expected" in done.stderr


FREEZE = """
import os, sys
target = sys.argv[-1]
volume = os.environ["VOLUME"]
child = os.fork()
if not child:
    open(volume + "/written meanwhile", "w").close()
    os._exit(0)
print("0", flush=True)
import time
time.sleep(0.3)
pid, _ = os.waitpid(child, os.WNOHANG)
os.write(2, b"waits\\n" if pid == 0 else b"does not wait\\n")
sys.exit(23)
"""


@pytest.mark.parametrize("freezes", [True, False])
def test_whoever_writes_to_a_frozen_volume_waits_until_we_end(
    tmp_path: Path, out: Path, *, freezes: bool
) -> None:
    """A program in rsync's place tries to write, and then fails: the volume must thaw again."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "freeze.py").write_text(FREEZE)
    stand_in = tmp_path / "bin/rsync"
    volume = tmp_path / "volume"
    stand_in.write_text(
        f'#!/bin/sh\nVOLUME={volume} exec {sys.executable} {tmp_path}/freeze.py "$@"\n'
    )
    stand_in.chmod(0o755)
    source = make_source(tmp_path, "/", "ext4")
    words = ("--clone-only", *(("--freeze",) if freezes else ()))
    argv = cli_argv("volume", "--volume", volume, "-d", out, *words)
    environment = cli_environment()
    environment["PATH"] = f"{tmp_path}/bin:{environment['PATH']}"
    done = subprocess.run(  # noqa: S603 - a test's own words, and no shell
        [sys.executable, "-c", HARNESS, str(volume), json.dumps([source]), *argv],
        capture_output=True,
        text=True,
        env=environment,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 8
    assert f"rsync, exit status 23: {'waits' if freezes else 'does not wait'}" in done.stderr
    assert "'written meanwhile'" in describe_image(Path(source[2]), tmp_path / "place")


def test_what_we_write_to_ourselves_is_not_frozen(tmp_path: Path, out: Path) -> None:
    source = make_source(tmp_path, "/", "ext4")
    done = run_mounted(
        out, [source], "--clone-only", "--freeze", "--scratch-dir", tmp_path / "volume"
    )
    assert done.returncode == 2
    assert "expected another file system for" in done.stderr


def test_an_image_that_is_consumed_gives_the_same_files(tmp_path: Path, out: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    outcome = run_volume("--volume", tree, "-d", out, "--consume", *KEYS)
    assert outcome.code == 0, outcome.errors
    assert unbundle(out / "image.manifest.xml", tmp_path / "image").code == 0
    found = describe_image(tmp_path / "image", tmp_path / "place")
    assert found["'home/user/first'"]["size"] == 20000
    use_tool("e2fsck", "-fn", tmp_path / "image")
