"""Images of file systems with the remains of a deleted file in their free blocks."""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.tools import lacking, require_tool, use_tool

MIB = 1024 * 1024

SECRET = b"-----BEGIN PRIVATE KEY----- of a file that was deleted\n" * 200
FILES = {"kept": b"kept\n" * 3000, "sub/other": os.urandom(70_001), "empty": b""}


def make_tree(directory: Path) -> Path:
    """The files that stay."""
    for name, data in FILES.items():
        path = directory / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(data)
    return directory


def make_ext(path: Path, tree: Path, *options: str, size: int = 24 * MIB) -> Path:
    """An ext file system with FILES, and a file more that was deleted again."""
    with path.open("wb") as file:
        file.truncate(size)
    use_tool("mke2fs", "-q", "-F", *options, "-d", tree, path)
    secret = tree.parent / "secret"
    secret.write_bytes(SECRET)
    use_tool("debugfs", "-w", "-R", f"write {secret} /secret", path)
    use_tool("debugfs", "-w", "-R", "rm /secret", path)
    assert SECRET[:1000] in path.read_bytes()
    return path


def make_xfs(path: Path, tree: Path, *options: str, size: int = 48 * MIB) -> Path:
    """The same as xfs; it must be mounted for it."""
    require_tool("mkfs.xfs")
    with path.open("wb") as file:
        file.truncate(size)
    # Else it makes none of less than 300 MiB, which take seconds to read.
    use_tool("mkfs.xfs", "--unsupported", "-q", *options, path)
    with mounted(path) as root:
        use_tool("cp", "-r", f"{tree}/.", root)
        (root / "secret").write_bytes(SECRET)
        os.sync()
        (root / "secret").unlink()
    assert SECRET[:1000] in path.read_bytes()
    return path


def make_disk(path: Path, scheme: str, *file_systems: Path) -> Path:
    """A disk with a partition for each file system, a MiB of something between them."""
    starts: list[int] = []
    end = MIB
    for file_system in file_systems:
        starts.append(end)
        end += file_system.stat().st_size + MIB  # a GPT has its copy in the last one
    with path.open("wb") as file:
        file.truncate(end)
        for start, file_system in zip(starts, file_systems, strict=True):
            file.seek(start)
            file.write(file_system.read_bytes())
            file.write(b"between" * 1000)
    lines = [f"label: {scheme}"]
    for start, file_system in zip(starts, file_systems, strict=True):
        lines.append(f"start={start // 512}, size={file_system.stat().st_size // 512}")
    script = ("sfdisk", "-q", "--wipe", "never", "--wipe-partitions", "never", path)
    use_tool(*script, data="\n".join(lines).encode())
    return path


def require_root() -> None:
    if os.geteuid() != 0:
        lacking("needs root, to mount")


@contextmanager
def mounted(path: Path, *options: str) -> Iterator[Path]:
    """An image, or a device, mounted."""
    require_root()
    root = path.parent / f"{path.name}-mounted"
    root.mkdir(exist_ok=True)
    use_tool("mount", *(options or ("-o", "loop")), path, root)
    try:
        yield root
    finally:
        use_tool("umount", root)


def change_superblock(path: Path, offset: int, form: str, value: int) -> None:
    """Write a number into an ext superblock, which has no checksum."""
    with path.open("r+b") as file:
        file.seek(1024 + offset)
        file.write(struct.pack(form, value))
