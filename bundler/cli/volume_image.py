"""The image of a volume, as root makes it by mounts, and as anybody makes it of a tree."""

import argparse
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from bundler.cli.console import Console
from bundler.cli.publish import state_directory
from bundler.cli.selection_options import selection_rules
from bundler.errors import HostError
from bundler.host.files import scratch_file
from bundler.host.mounts import enter_mount_namespace
from bundler.model.bundle import MIB
from bundler.model.disk import Usage
from bundler.workflow.image_options import ImageOptions
from bundler.workflow.image_tree import fill_tree_image, mounts_inside, plan_tree
from bundler.workflow.image_volume import FilledImage, VolumePlan, fill_image, planned_volume
from bundler.workflow.select_files import check_no_secrets

_OWN_VARIABLES = (
    *("EC2_PRIVATE_KEY", "EC2_CERT"),
    *("AWS_SHARED_CREDENTIALS_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE"),
)
"""Variables that name files by which we are who we are."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedImage:
    """A volume, looked at, and how its image is made."""

    plan: VolumePlan
    fill: Callable[[BinaryIO], FilledImage]
    """Make the image in an empty file, once."""
    copy_count: int
    """How often the files lie in the scratch directory meanwhile."""

    @property
    def needed_size(self) -> int:
        """About the bytes that the scratch directory must have room for."""
        return self._file_size * self.copy_count + self._table_size

    @property
    def bundle_size(self) -> int:
        """About the most bytes that the bundle can have: nothing can be compressed."""
        size = self._file_size + self._table_size
        return size + size // 500

    @property
    def _file_size(self) -> int:
        size = sum(self.plan.selection.usage.values(), Usage()).size
        return size + size // 32

    @property
    def _table_size(self) -> int:
        """What mkfs writes, most of it inode tables and log."""
        return self.plan.disk.size // 256 + 64 * MIB


def scratch_directory(arguments: argparse.Namespace) -> Path:
    """Where the image is while it is made."""
    found: Path | None = arguments.scratch_dir or arguments.destination
    if found is not None:
        return found
    # Not /tmp, which is in memory on many systems.
    return Path(os.environ.get("TMPDIR") or "/var/tmp")  # noqa: S108  no name in it is guessed


def own_files(arguments: argparse.Namespace) -> list[Path]:
    """Files and directories of ours, which are no part of the volume; some may not be there."""
    names = ("key", "cert", "passphrase_file", "destination", "report")
    given = [path for name in names if (path := getattr(arguments, name)) is not None]
    given += [Path(path) for name in _OWN_VARIABLES if (path := os.environ.get(name))]
    with suppress(RuntimeError):  # no home directory
        given.append(state_directory(arguments))
    return given


def enter_own_namespace(volume: Path) -> bool:
    """Keep our mounts to ourselves; whether this process may mount at all.

    To be called before files are opened: one that is opened outside gets no name inside.

    Raises:
        HostError: it may not, and the running root volume cannot be imaged without.
    """
    try:
        enter_mount_namespace()
    except HostError as error:
        if volume.resolve() == Path("/"):
            raise HostError(
                f"image the volume /: expected to be root (CAP_SYS_ADMIN): {error}"
            ) from error
        _logger.info("%s: the tree is imaged without mounts", error)
        return False
    return True


@contextmanager
def planned_image(
    arguments: argparse.Namespace,
    options: ImageOptions,
    own: Sequence[Path],
    console: Console,
) -> Iterator[PlannedImage]:
    """Look at the volume; nothing is changed.  `own` are files of ours, which stay out.

    Raises:
        UsageError: an option is wrong, or needs root.
        VerificationError: --fail-on-secrets, and there are some.
        MissingError, InputError, HostError: the volume cannot be imaged.
    """
    scratch = scratch_directory(arguments)
    inside = [] if options.may_mount else mounts_inside(options.volume)
    rules = selection_rules(arguments, options.volume, own=(*own, *inside))
    with ExitStack() as stack:
        paths = stack.enter_context(scratch_file(scratch))
        if options.may_mount:
            # These are written to while a file system may be frozen.
            writers = [scratch, *filter(None, (arguments.destination, arguments.state_dir))]
            planned = planned_volume(options, rules, paths, writers=writers, progress=console)
            plan, release = stack.enter_context(planned)
            _check_secrets(arguments, plan)
            fill = partial(
                _fill_by_mounts, options, plan, paths=paths, release=release, console=console
            )
            yield PlannedImage(plan=plan, fill=fill, copy_count=1)
            return
        plan = plan_tree(options, rules, paths, progress=console)
        _check_secrets(arguments, plan)
        fill = partial(_fill_by_copy, options, plan, paths=paths, scratch=scratch, console=console)
        yield PlannedImage(plan=plan, fill=fill, copy_count=2)


def _check_secrets(arguments: argparse.Namespace, plan: VolumePlan) -> None:
    if arguments.fail_on_secrets:
        check_no_secrets(plan.selection)


def _fill_by_mounts(
    options: ImageOptions,
    plan: VolumePlan,
    file: BinaryIO,
    *,
    paths: BinaryIO,
    release: Callable[[], None],
    console: Console,
) -> FilledImage:
    return fill_image(options, plan, file, paths, release=release, progress=console)


def _fill_by_copy(
    options: ImageOptions,
    plan: VolumePlan,
    file: BinaryIO,
    *,
    paths: BinaryIO,
    scratch: Path,
    console: Console,
) -> FilledImage:
    return fill_tree_image(options, plan, file, paths, scratch=scratch, progress=console)
