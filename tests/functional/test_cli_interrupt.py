"""Commands that end in the middle: killed, interrupted, on a full disk, or two at once."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from random import Random
from time import monotonic

import pytest

from bundler.host.bundle_directory import BundleDirectory
from bundler.model.bundle import CompressionLevel, Extent
from bundler.stages.gzip import compress
from bundler.stages.tar import pack
from tests.support.bundles import (
    USER_CERT,
    USER_KEY,
    bundle,
    bundle_arguments,
    encrypted,
    part_paths,
    sha1_digest,
    store_bundle,
    unbundle,
)
from tests.support.images import MIB, dense, random_bytes, sha256_of, write_image
from tests.support.tools import (
    Outcome,
    check_refused,
    cli_argv,
    cli_environment,
    listing,
    run_cli,
    run_program,
    start_cli,
)

USAGE, HOST, INTERRUPTED = 2, 8, 130
"""Exit codes."""

IMAGE_SIZE = 12 * MIB
KEYS = ("--key", USER_KEY, "--cert", USER_CERT)

SLOW = ("--level", "small", "--part-size", "16K", "--no-space-check")
"""Options that make a bundle of IMAGE_SIZE bytes in some hundred steps."""

PATIENCE = 30.0
"""Most seconds to wait for a process to reach a point."""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image that cannot be compressed."""
    path = tmp_path_factory.mktemp("image") / "image"
    return write_image(path, dense(IMAGE_SIZE), random_bytes(IMAGE_SIZE, seed=3))


@pytest.fixture(scope="module")
def manifest(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the image."""
    return bundle(image, tmp_path_factory.mktemp("bundle"))


def wait_until(process: "subprocess.Popen[bytes]", is_there: Callable[[], bool]) -> None:
    """Wait for a process to reach a point; a process that ends first fails the test."""
    end = monotonic() + PATIENCE
    while not is_there():
        try:
            process.wait(timeout=0.002)
        except subprocess.TimeoutExpired:
            assert monotonic() < end
        else:
            pytest.fail(f"ended before it was interrupted: {process.communicate()}")


def finish(process: "subprocess.Popen[bytes]") -> Outcome:
    output, errors = process.communicate(timeout=PATIENCE)
    return Outcome(code=process.returncode, output=output, errors=errors.decode())


def start_bundling(image: Path, directory: Path, *, part_count: int) -> "subprocess.Popen[bytes]":
    """Start a bundle, and wait until so many of its parts are written."""
    process = start_cli(*bundle_arguments(image, directory, *SLOW))
    part = directory / ".image.partial" / str(part_count)
    wait_until(process, part.exists)
    return process


def points(count: int) -> list[int]:
    """Parts after which to interrupt: first ones and later ones."""
    return [0, 1, *Random(4).sample(range(2, 500), count - 2)]


@pytest.mark.parametrize("part_count", points(5))
def test_killed_while_bundling_then_a_second_run_succeeds(
    image: Path, tmp_path: Path, part_count: int
) -> None:
    process = start_bundling(image, tmp_path, part_count=part_count)
    process.kill()
    assert finish(process).code == -signal.SIGKILL
    assert not (tmp_path / "image.manifest.xml").exists()
    manifest = bundle(image, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "image.manifest.xml",
        "image.part.0",
        "image.part.1",
    ]
    assert unbundle(manifest, tmp_path / "back").code == 0
    assert sha256_of(tmp_path / "back") == sha256_of(image)


def test_killed_before_the_commit_then_a_second_run_succeeds(image: Path, tmp_path: Path) -> None:
    # What a process leaves that dies while it gives the parts their names.
    (tmp_path / ".image.partial").mkdir()
    for name in ("1", "2", "image.part.0", "manifest"):
        (tmp_path / ".image.partial" / name).write_bytes(b"new")
    manifest = bundle(image, tmp_path, "--part-size", "64M")
    assert sorted(path.name for path in tmp_path.iterdir()) == [manifest.name, "image.part.0"]


def test_killed_behind_the_commit_leaves_a_bundle_that_the_next_run_puts_in_its_place(
    image: Path, tmp_path: Path
) -> None:
    manifest = bundle(image, tmp_path)
    whole = listing(tmp_path)
    work = tmp_path / ".image.partial"
    work.mkdir()
    for path in (*part_paths(manifest), manifest):
        path.rename(work / path.name)
    check_refused(run_cli(*bundle_arguments(image, tmp_path)), USAGE, "--force replaces")
    assert listing(tmp_path) == whole


def test_killed_behind_the_manifest_leaves_a_whole_bundle(image: Path, tmp_path: Path) -> None:
    bundle(image, tmp_path)
    (tmp_path / ".image.partial").mkdir()
    before = listing(tmp_path)
    check_refused(run_cli(*bundle_arguments(image, tmp_path)), USAGE, "--force replaces")
    assert before.items() >= listing(tmp_path).items()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("part_count", points(3))
def test_interrupted_while_bundling(
    image: Path, tmp_path: Path, part_count: int, number: signal.Signals
) -> None:
    process = start_bundling(image, tmp_path, part_count=part_count)
    process.send_signal(number)
    check_refused(finish(process), INTERRUPTED, "^ami-bundler: interrupted$")
    assert listing(tmp_path) == {}


def output_descriptors(process: "subprocess.Popen[bytes]", directory: Path) -> list[Path]:
    """Files in a directory that a process has open, if they have a name or not."""
    found: list[Path] = []
    for link in Path(f"/proc/{process.pid}/fd").iterdir():
        try:
            target = str(link.readlink())
        except OSError:  # closed meanwhile
            continue
        if target.startswith(f"{directory}/"):
            found.append(link)
    return found


def start_unbundling(manifest: Path, directory: Path, *more: str) -> "subprocess.Popen[bytes]":
    """Start to unbundle, and wait until the output is being written."""
    process = start_cli("unbundle", manifest, "-o", directory / "image", *KEYS, *more)
    wait_until(process, lambda: bool(output_descriptors(process, directory)))
    return process


@pytest.fixture(scope="module")
def long_manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small bundle of a huge image: unbundling it takes seconds."""
    size = 16 * 1024 * MIB
    zeros = (bytes(MIB) for _ in range(size // MIB))
    tar = pack("image", size, [Extent(offset=0, size=size)], zeros)
    bundled = encrypted(b"".join(compress(tar, CompressionLevel.BALANCED, workers=2)))
    directory = tmp_path_factory.mktemp("long")
    return store_bundle(directory, "image", bundled, size=size, tar_digest="0" * 40)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_while_unbundling(
    long_manifest: Path, tmp_path: Path, number: signal.Signals
) -> None:
    process = start_unbundling(long_manifest, tmp_path)
    begin = monotonic()
    process.send_signal(number)
    outcome = finish(process)
    assert monotonic() - begin < 2
    check_refused(outcome, INTERRUPTED, "^ami-bundler: interrupted$")
    assert listing(tmp_path) == {}


def test_interrupted_while_an_image_is_replaced(long_manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"old")
    before = listing(tmp_path)
    process = start_unbundling(long_manifest, tmp_path, "--force")
    process.send_signal(signal.SIGINT)
    check_refused(finish(process), INTERRUPTED, "interrupted")
    assert listing(tmp_path) == before


def test_killed_while_unbundling_then_a_second_run_succeeds(
    long_manifest: Path, manifest: Path, image: Path, tmp_path: Path
) -> None:
    process = start_unbundling(long_manifest, tmp_path)
    process.kill()
    assert finish(process).code == -signal.SIGKILL
    assert not (tmp_path / "image").exists()
    assert unbundle(manifest, tmp_path / "image").code == 0
    assert sha256_of(tmp_path / "image") == sha256_of(image)


def test_another_process_makes_a_bundle_of_that_name(image: Path, tmp_path: Path) -> None:
    with BundleDirectory.create(tmp_path, "image", force=False) as sink:
        part = random_bytes(1000, seed=5)
        sink.put_part(0, part, sha1_digest(part))
        for more in ([], ["--force"]):
            outcome = run_cli(*bundle_arguments(image, tmp_path, *more))
            check_refused(outcome, USAGE, "another process is making image in")
            assert [path.name for path in tmp_path.iterdir()] == [".image.partial"]
        other = bundle(image, tmp_path, "--name", "other")
        sink.put_manifest(b"<manifest/>")
    names = [path.name for path in part_paths(other)]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["image.manifest.xml", "image.part.0", other.name, *names]
    )


@pytest.mark.parametrize("limit", [0, 4096, MIB, 10 * MIB - 1])
def test_no_file_may_be_so_big_while_bundling(image: Path, tmp_path: Path, limit: int) -> None:
    wrapper = ["prlimit", f"--fsize={limit}"]
    outcome = run_cli(*bundle_arguments(image, tmp_path), wrapper=wrapper)
    check_refused(outcome, HOST, f"write bundle to {tmp_path}: no room: File too large")
    assert listing(tmp_path) == {}


@pytest.mark.parametrize("limit", [0, 4096, IMAGE_SIZE - 1])
def test_no_file_may_be_so_big_while_unbundling(manifest: Path, tmp_path: Path, limit: int) -> None:
    output = tmp_path / "back"
    wrapper = ["prlimit", f"--fsize={limit}"]
    outcome = run_cli("unbundle", manifest, "-o", output, *KEYS, wrapper=wrapper)
    check_refused(outcome, HOST, f"write {output}: no room: File too large")
    assert listing(tmp_path) == {}


ON_TMPFS = """
mount -t tmpfs -o size="$1" none "$2" || exit 77
directory=$2
shift 2
"$@"
code=$?
ls -A "$directory" > "$directory.left"
exit $code
"""
"""Runs a command with a small file system at a directory, and lists what it left there."""


def on_tmpfs(size: str, directory: Path, *arguments: str | Path) -> Outcome:
    """Run our command line with a small disk at `directory`, which must be left empty."""
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "-r", "--mount"]
    if run_program(*unshare, "sh", "-c", ON_TMPFS, "sh", size, directory, "true").code:
        pytest.skip("may not mount a file system")
    outcome = run_program(
        *unshare,
        *("sh", "-c", ON_TMPFS, "sh", size, str(directory)),
        *cli_argv(*arguments),
        environment=cli_environment(),
    )
    assert directory.with_suffix(".left").read_text() == ""
    return outcome


@pytest.mark.parametrize("size", ["64k", "4m", "11m"])
def test_the_disk_is_full_in_the_middle_of_bundling(image: Path, tmp_path: Path, size: str) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    arguments = bundle_arguments(image, disk, "--no-space-check", "--part-size", "1M")
    outcome = on_tmpfs(size, disk, *arguments)
    check_refused(outcome, HOST, f"write bundle to {disk}: no room: No space left on device")


def test_room_for_the_worst_case_is_asked_for_first(image: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    outcome = on_tmpfs("8m", disk, *bundle_arguments(image, disk))
    check_refused(outcome, HOST, "bytes free for the worst case, got 8388608")


@pytest.mark.parametrize("size", ["64k", "4m", "11m"])
def test_the_disk_is_full_in_the_middle_of_unbundling(
    manifest: Path, tmp_path: Path, size: str
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    outcome = on_tmpfs(size, disk, "unbundle", manifest, "-o", disk / "back", *KEYS)
    check_refused(outcome, HOST, f"write {disk}/back: no room: No space left on device")
