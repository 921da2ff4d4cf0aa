"""What is mounted on this machine, and its block devices: the kernel's and util-linux's words.

Sources: proc(5), lsblk(8), blkid(8).
"""

import re
from collections.abc import Sequence
from pathlib import Path

from bundler.errors import HostError
from bundler.host.files import read_bounded
from bundler.host.run import failure, find_program, run, run_to_end

MAX_MOUNT_TABLE_SIZE = 64 * 1024 * 1024
"""Most bytes of /proc/self/mountinfo; our choice: the most mounts that a namespace may have."""

MAX_OUTPUT_SIZE = 16 * 1024 * 1024
"""Most bytes that lsblk or blkid may write: tens of thousands of devices; our choice."""

_PACKAGE = "util-linux"
_NOTHING_FOUND = (2, 8)
"""Exit statuses of blkid: nothing, or several things at once; 2 also: it may not look."""


def find_lsblk() -> Path:
    """The program.

    Raises:
        MissingError: it is not installed.
    """
    return find_program("lsblk", package=_PACKAGE)


def find_blkid() -> Path:
    """The program.

    Raises:
        MissingError: it is not installed.
    """
    return find_program("blkid", package=_PACKAGE)


class ThisMachine:
    """What this machine says, as bytes; to be parsed and judged elsewhere."""

    def mount_table(self) -> bytes:
        """The lines of /proc/self/mountinfo.

        Raises:
            MissingError, HostError: /proc is not mounted, or cannot be read.
        """
        return read_bounded(Path("/proc/self/mountinfo"), MAX_MOUNT_TABLE_SIZE)

    def block_devices(self, columns: Sequence[str]) -> bytes:
        """All block devices by lsblk, as JSON where it can, else as pairs; sizes in bytes.

        Of `columns` it is asked for those that it has.

        Raises:
            MissingError: there is no lsblk.
            HostError: it fails, as it does where /sys is not mounted.
        """
        program = find_lsblk()
        words = set(re.findall(r"[A-Za-z:-]+", run([program, "--help"]).decode(errors="replace")))
        known = ",".join(column for column in columns if column in words)
        form = "--json" if "--json" in words else "--pairs"
        return _output([program, form, "--bytes", "--output", known], allowed=())

    def probe(self, device: Path) -> bytes:
        """What blkid finds on a device, as it tells udev; nothing when it may not look.

        Raises:
            MissingError: there is no blkid.
            HostError: it fails.
        """
        program = find_blkid()
        return _output([program, "-p", "-o", "udev", device], allowed=_NOTHING_FOUND)


def _output(argv: Sequence[str | Path], *, allowed: Sequence[int]) -> bytes:
    """What a program writes; it may end with 0 or one of the statuses `allowed`."""
    output = bytearray()

    def keep(line: bytes) -> None:
        if len(output) <= MAX_OUTPUT_SIZE:
            output.extend(line + b"\n")

    finished = run_to_end(argv, keep)
    if finished.status and finished.status not in allowed:
        raise failure(argv, finished)
    if len(output) > MAX_OUTPUT_SIZE:
        subject = Path(argv[0]).name
        raise HostError(f"run {subject}: expected at most {MAX_OUTPUT_SIZE} bytes, got more")
    return bytes(output)
