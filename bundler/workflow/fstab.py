"""The lines of an image's /etc/fstab that mount instance store volumes: found, and taken out.

Only a few blocks of the image are looked at: those that lead to one file.  A line is taken out
in place: the file keeps its size, so that nothing of the file system but the file's own blocks
is touched.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from bundler.codec.disk import file_system_offsets
from bundler.codec.ext import ExtFileSystem, StoredFile
from bundler.codec.fstab import MAX_FSTAB_SIZE
from bundler.errors import InputError
from bundler.model.instance_store import is_instance_store_name

Read = Callable[[int, int], bytes]
"""read(offset, size): bytes of the image; fewer at its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fstab:
    """An fstab and where it lies."""

    file: StoredFile
    start: int
    """Bytes of the image before the file system."""
    is_in_use: bool
    """Whether the file system was not unmounted: its journal may know another fstab."""

    @property
    def ephemeral_lines(self) -> tuple[str, ...]:
        """Lines whose first word names an instance store volume, blanks made single."""
        lines = filter(_is_ephemeral, self.file.data.split(b"\n"))
        return tuple(" ".join(line.decode(errors="replace").split()) for line in lines)


def find_fstab(read: Read) -> Fstab | None:
    """The fstab of an image; None when no ext file system in it has one that can be read.

    Raises:
        BundlerError: what `read` raises.
    """
    for start in file_system_offsets(read):
        system = ExtFileSystem.open(partial(_read_behind, read, start))
        file = system.find_file("/etc/fstab", MAX_FSTAB_SIZE) if system else None
        if system and file:
            return Fstab(file=file, start=start, is_in_use=system.needs_recovery)
    return None


def plan_removal(fstab: Fstab | None) -> tuple[tuple[int, bytes], ...]:
    """What makes the image one without those lines: (offset, bytes); nothing if it has none.

    Raises:
        InputError: there is no fstab that can be read, or it may not be the one that counts.
    """
    if fstab is None:
        raise InputError(
            "remove mounts from /etc/fstab: found none that can be read: expected an ext2, ext3 "
            "or ext4 file system that has one; leave out --remove-ephemeral-mounts"
        )
    if not fstab.ephemeral_lines:
        return ()
    if fstab.is_in_use:
        raise InputError(
            "remove mounts from /etc/fstab: expected a file system that was unmounted, got one "
            "whose journal is not written back, which may hold another fstab; e2fsck does that "
            "to an image, and leave out --remove-ephemeral-mounts for this one"
        )
    data, position = without_ephemeral_lines(fstab.file.data), 0
    found = []
    for offset, size in fstab.file.pieces:
        piece = data[position : position + size]
        if piece != fstab.file.data[position : position + size]:
            found.append((fstab.start + offset, piece))
        position += size
    return tuple(found)


def without_ephemeral_lines(data: bytes) -> bytes:
    """The same without lines of instance store volumes, with empty lines at its end instead."""
    kept = b"\n".join(line for line in data.split(b"\n") if not _is_ephemeral(line))
    return kept.ljust(len(data), b"\n")


def _is_ephemeral(line: bytes) -> bool:
    words = line.split(maxsplit=1)
    if not words or words[0].startswith(b"#"):
        return False
    return is_instance_store_name(words[0].decode("latin-1"))


def _read_behind(read: Read, start: int, offset: int, size: int) -> bytes:
    return read(start + offset, size)
