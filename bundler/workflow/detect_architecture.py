"""The architecture of the system in an image, by its first program."""

from functools import partial

from bundler.codec.disk import file_system_offsets
from bundler.codec.elf import ELF_HEADER_SIZE, elf_architecture
from bundler.codec.ext import ExtFileSystem
from bundler.host.rooted_files import RootedFiles
from bundler.model.image import Architecture
from bundler.workflow.bundle_source import BundleSource

PROGRAMS = ("/sbin/init", "/bin/sh")
"""Programs that every root file system has; the first that is found tells."""


def detect_architecture(source: BundleSource) -> Architecture | None:
    """What /sbin/init or /bin/sh in an ext2, ext3 or ext4 root file system is built for.

    None where there is no such file system or program, or it is of another architecture.

    Raises:
        HostError, AwsRefusedError, TransferError: the image cannot be read.
    """
    for offset in file_system_offsets(source.read_at):
        file_system = ExtFileSystem.open(partial(_read_behind, source, offset))
        if file_system is None:
            continue
        for program in PROGRAMS:
            header = file_system.read_start(program, ELF_HEADER_SIZE)
            architecture = elf_architecture(header) if header else None
            if architecture is not None:
                return architecture
    return None


def tree_architecture(files: RootedFiles) -> Architecture | None:
    """What the same programs of a directory tree are built for; None where it is not known.

    Raises:
        HostError: the tree cannot be read.
    """
    for program in PROGRAMS:
        architecture = elf_architecture(files.read_start(program, ELF_HEADER_SIZE) or b"")
        if architecture is not None:
            return architecture
    return None


def _read_behind(source: BundleSource, start: int, offset: int, size: int) -> bytes:
    return source.read_at(start + offset, size)
