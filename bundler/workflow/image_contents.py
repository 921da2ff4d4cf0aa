"""What an image holds, as far as its first sectors and its file system tell."""

from dataclasses import dataclass
from functools import partial

from bundler.codec.disk import file_system_offsets, has_boot_code, partition_table
from bundler.codec.ext import ExtFileSystem
from bundler.codec.image_format import FORMAT_SIZE, image_format
from bundler.model.image import Architecture
from bundler.workflow.bundle_source import BundleSource
from bundler.workflow.detect_architecture import detect_architecture


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageContents:
    """What was found; it does not tell that an image boots."""

    other_format: str
    """Such as qcow2 when it is no raw image; empty: nothing of the kind."""
    partition_table: str
    """GPT, MBR, or empty."""
    has_boot_code: bool
    """Whether there is anything where BIOS looks for a boot loader."""
    ext_offsets: tuple[int, ...]
    """Where ext2, ext3 and ext4 file systems begin, in bytes."""
    architecture: Architecture | None
    """What /sbin/init is for; None: not found."""


def find_format(source: BundleSource) -> str:
    """What an image is, such as qcow2, when it is no raw image; empty: nothing of the kind.

    Raises:
        HostError, AwsRefusedError, TransferError: the image cannot be read.
    """
    return image_format(source.read_at(0, FORMAT_SIZE))


def find_contents(source: BundleSource) -> ImageContents:
    """Look at an image; a few sectors and blocks of it are read.

    Raises:
        HostError, AwsRefusedError, TransferError: the image cannot be read.
    """

    def is_ext(offset: int) -> bool:
        return ExtFileSystem.open(partial(_read_behind, source, offset)) is not None

    return ImageContents(
        other_format=find_format(source),
        partition_table=partition_table(source.read_at),
        has_boot_code=has_boot_code(source.read_at),
        ext_offsets=tuple(
            offset for offset in file_system_offsets(source.read_at) if is_ext(offset)
        ),
        architecture=detect_architecture(source),
    )


def _read_behind(source: BundleSource, start: int, offset: int, size: int) -> bytes:
    return source.read_at(start + offset, size)
