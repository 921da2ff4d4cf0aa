"""What a bundle is made from, as the verbs see it: a file, a device, or an EBS snapshot."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from bundler.model.bundle import Extent


class BundleSource(Protocol):
    """An image that is read (host/image_file.py, workflow/snapshot_source.py)."""

    @property
    def label(self) -> str:
        """What messages call it: a path, or an id."""

    @property
    def size(self) -> int:
        """Bytes, holes included."""

    @property
    def identity(self) -> Mapping[str, object]:
        """What a later run knows the same content by, as JSON has it; see PublishState."""

    @property
    def change_mark(self) -> str:
        """Another one after every change; empty where nothing but the bytes tells of one."""

    def extents(self, *, dig_holes: bool) -> tuple[Extent, ...]:
        """Where the data lies, in order; with `dig_holes` what is read as zeros is a hole too.

        Raises:
            HostError, AwsRefusedError, TransferError: it cannot be read.
        """

    def read(self, extents: tuple[Extent, ...], *, lead: int = 0) -> Iterator[bytes]:
        """The extents' bytes, one after another, in chunks of at most a MiB.

        `lead` bytes stand in front of them in the stream that they go to: where a source can
        choose, it ends its chunks so that the stream need not be cut elsewhere.

        Raises:
            InputError: the image changed while it was read.
            HostError, AwsRefusedError, TransferError: it cannot be read.
            CancelledError: cancel() was called.
        """

    def read_at(self, offset: int, size: int) -> bytes:
        """At most `size` bytes at `offset`; fewer, or none, at the image's end.

        Raises:
            HostError, AwsRefusedError, TransferError: it cannot be read.
        """

    def cancel(self) -> None:
        """Let a read() that is under way end soon, whatever it waits for; nothing is raised."""
