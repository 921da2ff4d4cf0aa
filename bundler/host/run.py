"""Run a program: a list, a clean environment, checked; the only subprocess import."""

import ctypes
import os
import selectors
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bundler.errors import HostError, MissingError
from bundler.host.files import os_errors
from bundler.model.bundle import MIB

MAX_OUTPUT_SIZE = MIB
"""Most bytes of output that a program may give; our choice."""

MAX_LINE_SIZE = 8 * MIB
"""Most bytes of a line that run_lines() passes on; our choice."""

_ERRORS_SIZE = 4096
_READ_SIZE = 64 * 1024
_POLL_SECONDS = 0.2
_SYSTEM_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


def find_program(name: str, *, package: str) -> Path:
    """Where a program is: on PATH, or where the system keeps those of the administrator.

    Raises:
        MissingError: nowhere; `package` is what a person can install.
    """
    path = shutil.which(name, path=_search_path())
    if path is None:
        raise MissingError(f"run {name}: no such program; install the package {package}")
    return Path(path)


def run(
    argv: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    inherit: Sequence[int] = (),
) -> bytes:
    """Run a program to its end and return what it wrote to its standard output.

    It reads nothing, and of the environment it has only PATH and TMPDIR, the language C and
    `environment`; of our open files it has those of the descriptors `inherit`.  When the caller
    is interrupted it is killed.

    Raises:
        MissingError: there is no such program.
        HostError: it cannot be run, failed, or wrote more than MAX_OUTPUT_SIZE bytes.
    """
    output = bytearray()
    finished = _drain(_chunks(argv, environment, inherit), lambda chunk: _keep(output, chunk))
    if finished.status:
        raise failure(argv, finished)
    if len(output) > MAX_OUTPUT_SIZE:
        raise _too_much(argv, f"at most {MAX_OUTPUT_SIZE} bytes")
    return bytes(output)


def run_through(argv: Sequence[str | Path]) -> None:
    """Run a program that goes on when we are killed; interrupted, we wait for it first."""
    finished = _drain(_chunks(argv, None, (), is_apart=True), lambda _: None)
    if finished.status:
        raise failure(argv, finished)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How a program has ended."""

    status: int
    """Its exit status; negative: the signal that ended it."""
    errors: bytes
    """The last bytes that it wrote to its standard error."""


def run_lines(
    argv: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    inherit: Sequence[int] = (),
) -> Generator[bytes, None, None]:
    """Run a program as run() does, and pass on each line of its output, without its end.

    There may be any number of lines; they are read as they are asked for.  Who asks for no
    more closes the iterator, and the program is killed.

    Raises:
        MissingError: there is no such program.
        HostError: it cannot be run, wrote a line of more than MAX_LINE_SIZE bytes, or, raised
            behind the last line, failed.
    """
    finished = yield from _lines(argv, environment, inherit)
    if finished.status:
        raise failure(argv, finished)


def run_to_end(
    argv: Sequence[str | Path],
    on_line: Callable[[bytes], object],
    *,
    environment: Mapping[str, str] | None = None,
    inherit: Sequence[int] = (),
    source: int | None = None,
) -> Finished:
    """Run a program as run_lines() does; it may fail, for the caller knows what that means.

    It reads from the descriptor `source`, if one is given.

    Raises:
        MissingError: there is no such program.
        HostError: it cannot be run, or wrote a line of more than MAX_LINE_SIZE bytes.
    """
    return _drain(_lines(argv, environment, inherit, source), on_line)


@contextmanager
def background(argv: Sequence[str | Path], *, ready: bytes) -> Iterator[None]:
    """Run a program beside the block, which begins when it has written `ready`.

    Its input ends with the block, and it is waited for; killed, we end its input too.

    Raises:
        MissingError: there is no such program.
        HostError: it cannot be run, or ends too early.
    """
    subject = Path(argv[0]).name
    with os_errors("run", subject):
        process = subprocess.Popen(  # noqa: S603  a list, and no shell
            [str(word) for word in argv],
            env=_clean_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is not for it
        )
    with process:
        output = process.stdout.read(len(ready)) if process.stdout else b""
        if output != ready:
            raise HostError(f"run {subject}: expected it to wait for us, got its end")
        yield


def failure(argv: Sequence[str | Path], finished: Finished) -> HostError:
    """The error that tells how a program has failed."""
    subject, status = Path(argv[0]).name, finished.status
    how = str(status) if status >= 0 else f"signal {-status}"
    reason = _reason(finished.errors)
    if "No space left on device" in reason:
        return HostError(f"run {subject}: no room: {reason}")
    return HostError(f"run {subject}: expected exit status 0, got {how}: {reason}")


_Output = Generator[bytes, None, Finished]  # what a program writes, and its end


def _drain(output: _Output, take: Callable[[bytes], object]) -> Finished:
    with closing(output):
        while True:
            try:
                piece = next(output)
            except StopIteration as end:
                finished: Finished = end.value
                return finished
            take(piece)


def _too_much(argv: Sequence[str | Path], bound: str) -> HostError:
    return HostError(f"run {Path(argv[0]).name}: expected {bound}, got more")


def _keep(output: bytearray, chunk: bytes) -> None:
    output += chunk[: MAX_OUTPUT_SIZE + 1 - len(output)]


def _lines(
    argv: Sequence[str | Path],
    environment: Mapping[str, str] | None,
    inherit: Sequence[int],
    source: int | None = None,
) -> _Output:
    rest = bytearray()
    with closing(_chunks(argv, environment, inherit, source)) as chunks:
        while True:
            try:
                chunk = next(chunks)
            except StopIteration as end:
                if rest:
                    yield bytes(rest)
                finished: Finished = end.value
                return finished
            rest += chunk
            *lines, tail = rest.split(b"\n") if b"\n" in chunk else (rest,)
            yield from map(bytes, lines)
            rest = tail
            if len(rest) > MAX_LINE_SIZE:
                raise _too_much(argv, f"lines of at most {MAX_LINE_SIZE} bytes")


def _chunks(
    argv: Sequence[str | Path],
    environment: Mapping[str, str] | None,
    inherit: Sequence[int],
    source: int | None = None,
    *,
    is_apart: bool = False,
) -> _Output:
    """Run a program; it is killed if nobody reads on, or waited for if it `is_apart`."""
    words = [str(word) for word in argv]
    # Between fork and exec other threads' locks would stay locked for ever.
    is_tied = not is_apart and threading.active_count() == 1
    # What Python does around a fork would swallow an interruption.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTIONS if is_tied else ())
    try:
        with os_errors("run", Path(words[0]).name):
            process = subprocess.Popen(  # noqa: S603  a list, and no shell
                words,
                env=_clean_environment() | dict(environment or {}),
                stdin=subprocess.DEVNULL if source is None else source,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=inherit,
                preexec_fn=partial(_die_with_parent, mask) if is_tied else None,
                start_new_session=is_apart,  # Ctrl-C is not for it
            )
    except BaseException:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        raise
    errors = bytearray()
    with process:
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            yield from _read_chunks(process, errors)
            status = process.wait()
        except BaseException:
            process.wait() if is_apart else process.kill()
            raise
    return Finished(status=status, errors=bytes(errors))


_PR_SET_PDEATHSIG = 1
_INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_libc = ctypes.CDLL(None)


def _die_with_parent(mask: set[int | signal.Signals]) -> None:
    """In the child: a program that goes on when we are killed would keep mounts and files."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _search_path() -> str:
    return os.pathsep.join((os.environ.get("PATH", os.defpath), *_SYSTEM_PATH))


def _clean_environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("TMPDIR",) if name in os.environ}
    return {**kept, "PATH": _search_path(), "LC_ALL": "C"}


def _read_chunks(process: "subprocess.Popen[bytes]", errors: bytearray) -> Iterator[bytes]:
    """The output, piece by piece; `errors` is left with the last bytes of the errors.

    What the program leaves running may hold its output open: once the program has ended, only
    what it has written by then is read.
    """
    with selectors.DefaultSelector() as selector:
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            has_ended = process.poll() is not None
            ready = selector.select(0 if has_ended else _POLL_SECONDS)
            if has_ended and not ready:
                break
            for key, _ in ready:
                chunk = os.read(key.fd, _READ_SIZE)
                if not chunk:
                    selector.unregister(key.fileobj)
                elif key.fileobj is process.stdout:
                    yield chunk
                else:
                    errors += chunk
                    del errors[:-_ERRORS_SIZE]


def _reason(errors: bytes) -> str:
    """The last line that a program wrote to its standard error, fit for a message."""
    lines = errors.decode(errors="replace").strip().splitlines()
    line = lines[-1].strip() if lines else "no message"
    return "".join(character if character.isprintable() else "?" for character in line)
