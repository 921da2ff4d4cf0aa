"""What is changed in an image once all files are copied: fstab, machine id, the user's program."""

import logging
from collections.abc import Sequence
from pathlib import Path

from bundler.codec.fstab import MAX_FSTAB_SIZE
from bundler.errors import HostError
from bundler.host.files import read_bounded
from bundler.host.rooted_files import RootedFiles
from bundler.host.run import failure, run_to_end
from bundler.model.disk import Disk
from bundler.model.volume import Volume
from bundler.workflow.adapt_fstab import adapt_fstab, check_fstab, generate_fstab, note_mappings
from bundler.workflow.image_options import ImageOptions

FSTAB = "/etc/fstab"

OLD_FSTAB = "/etc/fstab.old"
"""Where the old one goes when it is replaced, as AMI Tools did."""

_MAPPINGS = ("/etc/crypttab", "/etc/mdadm/mdadm.conf", "/etc/mdadm.conf")

_logger = logging.getLogger(__name__)


def load_fstab(path: Path) -> bytes:
    """An fstab of the user's, for an image.

    Raises:
        MissingError, InputError, HostError: it cannot be read.
    """
    return read_bounded(path, MAX_FSTAB_SIZE, "read fstab")


def finish_files(
    options: ImageOptions,
    files: RootedFiles,
    disk: Disk,
    volume: Volume,
    emptied: Sequence[str],
) -> tuple[str, ...]:
    """Give the image an fstab that names what it has, and empty files; what was changed.

    Raises:
        InputError: the volume's fstab is too large.
        HostError: a file cannot be read or written.
    """
    for path in emptied:
        if files.is_file(path):
            files.write(path, b"")
    return _finish_fstab(options, files, disk, volume)


def _finish_fstab(
    options: ImageOptions, files: RootedFiles, disk: Disk, volume: Volume
) -> tuple[str, ...]:
    old = files.read(FSTAB, MAX_FSTAB_SIZE)
    notes: tuple[str, ...]
    if options.fstab is not None or options.generates_fstab:
        new = options.fstab if options.fstab is not None else generate_fstab(disk)
        notes = ("/etc/fstab is a new one", *check_fstab(new, disk))
        if old:
            files.write(OLD_FSTAB, old)
    else:
        new, notes = adapt_fstab(old or b"", disk, volume)
        found = [files.read(path, MAX_FSTAB_SIZE) or b"" for path in _MAPPINGS]
        notes += note_mappings(crypttab=found[0], mdadm=found[1] or found[2])
    if new != old:
        files.make_directory("/etc")
        files.write(FSTAB, new)
    return notes


def run_script(script: Path, root: Path) -> None:
    """Run the user's program; its argument is where the image is mounted.

    What it prints is logged (-v).

    Raises:
        HostError: it cannot be run, or fails.
    """
    argv = (script, root)
    finished = run_to_end(
        argv, lambda line: _logger.info("%s: %s", script.name, line.decode(errors="replace"))
    )
    if finished.status:
        raise HostError(f"{failure(argv, finished)}; the image is given up")
