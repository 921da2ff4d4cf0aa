"""A root file system of public files of this machine, as an image: something real to bundle."""

import os
import shutil
import stat
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bundler.host.files import os_errors
from bundler.host.root_tree import build_ext_image
from bundler.host.run import find_program
from bundler.model.bundle import MIB
from bundler.model.file_system import FileSystem, FileSystemType

BLOCK_SIZE = 4096
"""Bytes of a block of the file system."""

MAX_FILE_SIZE = 16 * MIB
"""Most bytes of a file that is taken, so that many kinds of files find room."""

IMAGE_STEP = 64 * MIB
"""An image's size in bytes is a multiple of this."""

_OPERATION = "build root image"
_DIRECTORIES = ("boot", "dev", "etc", "proc", "root", "run", "sys", "tmp", "usr/bin", "var/log")
_LINKS = {"bin": "usr/bin", "lib": "usr/lib"}
_SKIPPED = frozenset(("__pycache__", "dist-packages", "site-packages", "test", "tests"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A directory to take files from."""

    path: Path
    target: str
    """Where they go, below the root of the image."""
    budget: int
    """Most bytes to take."""


def default_sources() -> tuple[Source, ...]:
    """Programs, Python's library, shared libraries and data: at most 136 MiB."""
    library = Path(sysconfig.get_path("stdlib"))
    return (
        Source(path=Path("/usr/bin"), target="usr/bin", budget=56 * MIB),
        Source(path=library, target=f"usr/lib/{library.name}", budget=32 * MIB),
        Source(path=Path("/usr/lib"), target="usr/lib", budget=32 * MIB),
        Source(path=Path("/usr/share"), target="usr/share", budget=16 * MIB),
    )


def find_mke2fs() -> Path:
    """The program that makes the file system.

    Raises:
        MissingError: it is not installed.
    """
    return find_program("mke2fs", package="e2fsprogs")


def build_root_image(
    path: Path, sources: tuple[Source, ...], advance: Callable[[int], object]
) -> None:
    """Make an ext4 image at `path`, what is not used in it left as holes.

    Only files that every user may read are taken, and symbolic links; `advance` is called
    with the bytes taken.  The files lie twice in the directory of `path` meanwhile.

    Raises:
        MissingError: mke2fs is not installed.
        HostError: the disk is full, or mke2fs failed.
    """
    find_mke2fs()
    with (
        os_errors(_OPERATION, path),
        tempfile.TemporaryDirectory(dir=path.parent, prefix=".root-") as directory,
    ):
        root = Path(directory)
        _make_skeleton(root)
        used = sum(_take_files(source, root, advance) for source in sources)
        with path.open("x+b") as file:
            wanted = FileSystem(type=FileSystemType.EXT4, label="demo-root", block_size=BLOCK_SIZE)
            build_ext_image(file, root, wanted, _image_size(used), is_owned_by_root=True)


def _image_size(used: int) -> int:
    """A size with room for the journal, the inodes and some free space."""
    return -(-(used * 5 // 4 + 32 * MIB) // IMAGE_STEP) * IMAGE_STEP


def _make_skeleton(root: Path) -> None:
    root.chmod(0o755)
    for name in _DIRECTORIES:
        (root / name).mkdir(parents=True)
    (root / "root").chmod(0o700)
    (root / "tmp").chmod(0o1777)
    for name, target in _LINKS.items():
        (root / name).symlink_to(target)
    (root / "etc/fstab").write_text("LABEL=demo-root / ext4 defaults 0 1\n", encoding="ascii")
    (root / "etc/hostname").write_text("demo\n", encoding="ascii")
    release = Path("/etc/os-release")
    if release.is_file():
        _copy_file(release, root / "etc/os-release")


def _take_files(source: Source, root: Path, advance: Callable[[int], object]) -> int:
    """Copy files up to the budget; bytes of the blocks that they fill."""
    used = 0
    for path, state in _public_files(source.path):
        target = root / source.target / path.relative_to(source.path)
        size = -(-state.st_size // BLOCK_SIZE) * BLOCK_SIZE
        if used + size > source.budget or os.path.lexists(target):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if stat.S_ISLNK(state.st_mode):
            target.symlink_to(path.readlink())
        else:
            _copy_file(path, target)
            target.chmod(0o755 if state.st_mode & stat.S_IXOTH else 0o644)
        used += size
        advance(size)
        if used > source.budget - 16 * BLOCK_SIZE:  # do not search everything for small files
            break
    return used


def _public_files(top: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Regular files that every user may read, and symbolic links, in the order of names."""
    for directory, directories, files in os.walk(top):
        names = sorted((*directories, *files))
        directories[:] = sorted(name for name in directories if name not in _SKIPPED)
        for name in names:
            path = Path(directory, name)
            try:
                state = path.lstat()
            except FileNotFoundError:  # this machine is alive
                continue
            if stat.S_ISLNK(state.st_mode) or (_is_public(state) and os.access(path, os.R_OK)):
                yield path, state


def _is_public(state: os.stat_result) -> bool:
    is_readable = bool(state.st_mode & stat.S_IROTH)
    return stat.S_ISREG(state.st_mode) and is_readable and state.st_size <= MAX_FILE_SIZE


def _copy_file(source: Path, target: Path) -> None:
    with source.open("rb") as file, target.open("xb") as copy:
        shutil.copyfileobj(file, copy, MIB)
