"""What image and publish are given: an image file, a device, an EBS snapshot or an AMI of one."""

import argparse
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bundler.cli.options import is_url, parse_path
from bundler.host.image_file import ImageSource
from bundler.model.image import VirtualizationType
from bundler.workflow.bundle_source import BundleSource

if TYPE_CHECKING:
    from bundler.aws.session import Cloud

_ID = re.compile(r"(?:snap|ami)-(?:[0-9a-f]{8}|[0-9a-f]{17})")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedSource:
    """An image to bundle, and what is known of it besides its bytes."""

    source: BundleSource
    name: str
    """Of the bundle, if nobody gives another one."""
    arguments: argparse.Namespace
    """The command's, with what the source tells where they say nothing."""
    cloud: "Cloud | None" = None
    """Where the image comes from; None: from this machine."""
    ids: dict[str, str] = field(default_factory=dict)
    """Of snapshot and AMI, for programs."""

    def facts(self) -> dict[str, object]:
        """What programs want to know of an image that comes from AWS."""
        if self.cloud is None:
            return {}
        return {**self.ids, "retry_count": self.cloud.transport.retry_count}


def parse_image_path(text: str) -> Path:
    """A path of an image, which no URL is.

    Raises:
        argparse.ArgumentTypeError: it is empty, or a URL.
    """
    if is_url(text):
        raise argparse.ArgumentTypeError(
            f"expected an image, got {text!r}: of a bundle in S3, ami-bundler convert makes an "
            "EBS-backed AMI, and ami-bundler unbundle an image file"
        )
    return parse_path(text)


def add_source_argument(parser: argparse.ArgumentParser) -> None:
    """SOURCE."""
    parser.add_argument(
        "image",
        type=parse_image_path,
        metavar="SOURCE",
        help="raw image or block device; or, unless a file has that name, the id of an EBS "
        "snapshot (snap-...) or of an EBS-backed AMI (ami-...)",
    )


@contextmanager
def open_source(arguments: argparse.Namespace, path: Path) -> Iterator[OpenedSource]:
    """Open what SOURCE names; a file is closed at the end of the block.

    Raises:
        UsageError: an AMI that is S3-backed, or AWS's configuration is wrong.
        MissingError, InputError, HostError: the file cannot be used.
        AwsRefusedError: there is no such snapshot or AMI, or it cannot be read.
        TransferError: AWS cannot be reached.
    """
    if _ID.fullmatch(str(path)) and not path.exists():
        from bundler.cli.snapshot_source import open_snapshot_source  # slow to import

        yield open_snapshot_source(arguments, str(path))
        return
    with ImageSource.open(path) as source:
        yield OpenedSource(source=source, name=path.name, arguments=with_defaults(arguments))


def with_defaults(arguments: argparse.Namespace, **found: object) -> argparse.Namespace:
    """Arguments, with what was found for those that say nothing; hvm if nothing says else."""
    more = {"virtualization_type": VirtualizationType.HVM.value} | found
    given = vars(arguments)
    wanted = {name: value for name, value in more.items() if name in given and not given[name]}
    return argparse.Namespace(**{**given, **wanted})
