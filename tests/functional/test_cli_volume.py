"""ami-bundler volume as a process of its own: what is in the image, and what is left behind."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bundles import unbundle
from tests.support.privileged import check_no_traces, require_root, run_python, traces
from tests.support.tools import check_refused, cli_argv, use_tool
from tests.support.volumes import (
    KEYS,
    describe,
    describe_image,
    elf_header,
    make_tree,
    run_volume,
)

LEFT_OUT = {"'tmp/left'"}
CHANGED = {"'.'", "'etc'", "'etc/fstab'", "'etc/machine-id'", "'dev'", "'tmp'"}
"""Files that the image has, but not just as the tree has them."""

ADDED = {f"'dev/{name}'" for name in ("console", "null", "tty", "zero")} | {
    "'lost+found'",
    "'sys'",
}


@pytest.fixture(autouse=True)
def _leaves_no_trace(tmp_path: Path) -> Iterator[None]:
    before = traces(tmp_path)
    yield
    check_no_traces(tmp_path, before)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    require_root()
    return make_tree(tmp_path / "tree")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "place").mkdir()
    directory = tmp_path / "out"
    directory.mkdir()
    return directory


def check_same(tree: Path, image: Path, *, kind: str = "ext4", offset: int = 0) -> None:
    """Assert that an image's file system has the tree's files, as they are."""
    wanted = describe(tree)
    found = describe_image(image, image.parent.parent / "place", kind, offset=offset)
    assert wanted.keys() - found.keys() == LEFT_OUT
    assert found.keys() - wanted.keys() <= ADDED
    differing = {name for name in wanted if name in found and wanted[name] != found[name]}
    assert differing <= CHANGED, {n: (wanted[n], found[n]) for n in differing - CHANGED}
    for name in CHANGED:  # in time and size alone
        assert wanted[name]["mode"] == found[name]["mode"]
        assert wanted[name]["owner"] == found[name]["owner"]
    assert found["'etc/machine-id'"]["size"] == 0


def test_a_bundle_of_a_tree_has_all_its_files_as_they_are(tree: Path, out: Path) -> None:
    outcome = run_volume("--volume", tree, "-d", out, "--name", "web", *KEYS, "--json")
    assert outcome.code == 0, outcome.errors
    facts = json.loads(outcome.output)
    manifest = out / "web.manifest.xml"
    assert facts["manifest"] == str(manifest)
    assert facts["disk"]["partition_table"] == "none"
    assert unbundle(manifest, out / "image").code == 0
    check_same(tree, out / "image")
    assert use_tool("e2fsck", "-fn", out / "image")
    names = sorted(path.name for path in out.iterdir())
    assert [name for name in names if "part" not in name] == [
        "image",
        "web.manifest.xml",
        "web.report.json",
        "web.report.txt",
    ]
    assert stat.S_IMODE((out / "web.report.json").stat().st_mode) == 0o600
    report = json.loads((out / "web.report.json").read_text())
    assert [one["path"] for one in report["left_out"]["files"]] == ["/tmp"]  # noqa: S108
    assert report["emptied"] == ["/etc/machine-id"]


@pytest.mark.parametrize("partition", ["gpt", "mbr"])
def test_the_image_alone_with_a_partition_table(tree: Path, out: Path, partition: str) -> None:
    words = ("--clone-only", "--partition", partition, "--boot-loader", "none", "--size", "128")
    outcome = run_volume("--volume", tree, "-d", out, "--name", "disk", *words)
    assert outcome.code == 0, outcome.errors
    image = out / "disk"
    assert outcome.text == f"{image}\n"
    assert image.stat().st_size == 128 << 20
    assert stat.S_IMODE(image.stat().st_mode) == 0o600
    assert image.stat().st_blocks * 512 < 40 << 20
    assert b"No errors detected" in use_tool("sfdisk", "--verify", image)
    check_same(tree, image, offset=1 << 20)
    refused = run_volume("--volume", tree, "-d", out, "--name", "disk", *words)
    check_refused(refused, 2, "disk: the file exists; --force replaces it$")


def test_reports_inside_the_volume_stay_out(tree: Path, out: Path) -> None:
    words = ("--volume", tree, "-d", out, "--clone-only", "--force", "--report", tree / "etc/mine")
    for _ in range(2):
        assert run_volume(*words).code == 0
    report = json.loads((tree / "etc/mine.json").read_text())
    found = {one["path"]: one["reason"] for one in report["left_out"]["files"]}
    assert found["/etc/mine.json"] == found["/etc/mine.txt"] == "of this program's own"


def test_no_program_of_the_volume_is_run_without_a_boot_loader(tree: Path, out: Path) -> None:
    modules = tree / "lib/modules/6.1"
    for directory in (tree / "boot", modules):
        directory.mkdir(parents=True)
    (tree / "boot/vmlinuz-6.1").write_bytes(b"kernel")
    (tree / "boot/initrd.img-6.1").write_bytes(b"initramfs")
    (modules / "modules.dep").write_text("kernel/drivers/block/xen-blkfront.ko:\n")
    (tree / "usr/bin/lsinitramfs").write_bytes(elf_header())
    words = ("--volume", tree, "-d", out, "--clone-only", "--json", "--force")
    notes = json.loads(run_volume(*words, "--boot-loader", "none").output)["notes"]
    assert [one for one in notes if "xen-blkfront" in one] == [
        "kernel 6.1: not known whether its initramfs has the driver xen-blkfront"
    ]
    notes = json.loads(run_volume(*words).output)["notes"]
    assert "run chroot: " in next(one for one in notes if "xen-blkfront" in one)


@pytest.mark.parametrize("kind", ["xfs", "btrfs", "ext3"])
def test_a_mounted_volume_becomes_a_file_system_of_its_type(
    tmp_path: Path, out: Path, kind: str
) -> None:
    require_root()
    source = tmp_path / "source.img"
    with source.open("xb") as file:
        file.truncate(400 << 20)
    option = "-F" if kind == "ext3" else "-f"
    use_tool(f"mkfs.{kind}", "-q", option, "-L", "mine", source)
    (tmp_path / "volume").mkdir()
    code = """
import subprocess, sys
from pathlib import Path
from bundler.host.loop_device import attach
from bundler.host.mounts import enter_mount_namespace, mounted
from tests.support.volumes import make_tree
source, volume, kind, *argv = sys.argv[1:]
enter_mount_namespace()
with open(source, "r+b") as file, attach(file.fileno()) as device:
    with mounted(device, Path(volume), kind):
        make_tree(Path(volume))
        sys.exit(subprocess.run(argv).returncode)
"""
    argv = cli_argv("volume", "--volume", tmp_path / "volume", "-d", out, "--clone-only")
    done = run_python(code, source, tmp_path / "volume", kind, *argv)
    assert done.returncode == 0, done.stderr
    image = out / "image"
    check_same(make_tree(tmp_path / "tree"), image, kind=kind)
    old, new = (probe(path) for path in (source, image))
    assert (new["TYPE"], new["LABEL"]) == (kind, "mine")
    assert (new["UUID"] == old["UUID"]) is (kind != "btrfs")


def probe(path: Path) -> dict[str, str]:
    """What blkid tells of an image."""
    lines = use_tool("blkid", "-p", "-o", "export", path).decode().splitlines()
    return dict(line.partition("=")[::2] for line in lines)
