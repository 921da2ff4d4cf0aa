"""What people and programs see: the result on stdout, all talk on stderr."""

import getpass
import io
import json
import logging
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TextIO

from bundler.errors import HostError
from bundler.workflow.ports import Advance


def printable(text: str) -> str:
    """Text from outside without what could break a line or move a terminal's cursor."""
    return "".join(character if character.isprintable() else "?" for character in text)


class _PrintableFormatter(logging.Formatter):
    """Names from a manifest or from S3 are in what is logged, too."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a command found or made: a line for people, facts for programs."""

    text: str
    facts: Mapping[str, object]
    exit_code: int = 0
    """Of the process: a command whose result is that something would fail is none that failed."""


@dataclass(slots=True, kw_only=True)
class Console:
    """The terminal, or what stands in its place."""

    is_quiet: bool = False
    is_json: bool = False
    # Python has no stream where the caller closed it.
    stdout: TextIO = field(default_factory=lambda: sys.stdout or io.StringIO())
    stderr: TextIO = field(default_factory=lambda: sys.stderr or io.StringIO())

    def show(self, result: Result) -> None:
        """Print a result, alone on stdout.

        Raises:
            HostError: it cannot be written: the disk is full.
            BrokenPipeError: nobody reads it any more.
        """
        text = json.dumps(result.facts, indent=2) if self.is_json else result.text
        try:
            if text:
                self.stdout.write(text + "\n")
            self.stdout.flush()
        except OSError as error:
            # What is buffered would fail once more when Python ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stdout.fileno())
            if isinstance(error, BrokenPipeError):
                raise
            raise HostError(f"print the result: {error.strerror}") from error

    def note(self, message: str) -> None:
        """Tell a person something that --quiet turns off."""
        if not self.is_quiet:
            self._say(message)

    def warn(self, message: str) -> None:
        """Warn; --quiet does not turn this off."""
        self._say(f"ami-bundler: warning: {message}")

    def fail(self, message: str) -> None:
        """Tell why the command ends."""
        self._say(f"ami-bundler: {message}")

    @contextmanager
    def task(self, label: str, total: int, *, unit: str = "B") -> Iterator[Advance]:
        """A progress bar in bytes or `unit`, on terminals only (workflow/ports.py, Progress)."""
        if self.is_quiet or not self.stderr.isatty():
            yield lambda size: None
            return
        from tqdm import tqdm  # a fifth of the start-up time, for people only

        # No thread that looks after the bar: host/run.py ties programs to us while there is none.
        tqdm.monitor_interval = 0
        with tqdm(
            desc=printable(label),
            total=total or None,
            unit=unit if unit == "B" else f" {unit}",
            unit_scale=unit == "B",
            unit_divisor=1024,
            file=self.stderr,
        ) as bar:
            lock = threading.Lock()  # parts go side by side

            def advance(size: int) -> None:
                with lock:
                    bar.update(size)

            yield advance

    def _say(self, message: str) -> None:
        with suppress(OSError):  # where nobody can be told, the exit code must do
            self.stderr.write(printable(message) + "\n")
            self.stderr.flush()

    def ask_passphrase(self, subject: str) -> bytes | None:
        """Ask for a secret; None when there is nobody to ask."""
        if not self.has_terminal():
            return None
        try:
            return getpass.getpass(f"Passphrase of {subject}: ").encode()
        except EOFError:  # Ctrl-D
            return None

    def has_terminal(self) -> bool:
        """Whether there is somebody to ask."""
        return sys.stdin is not None and sys.stdin.isatty()

    def confirm(self, question: str) -> bool:
        """Ask a person on the terminal; anything but y or yes is a no."""
        with suppress(OSError):
            self.stderr.write(f"{printable(question)} [y/N] ")
            self.stderr.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    def set_verbosity(self, count: int) -> None:
        """Show our own logger: -v what is done, -vv every step.  Other packages stay silent."""
        handler = logging.StreamHandler(self.stderr)
        handler.setFormatter(_PrintableFormatter("ami-bundler: %(message)s"))
        logger = logging.getLogger("bundler")
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel({0: logging.WARNING, 1: logging.INFO}.get(count, logging.DEBUG))
