"""Run a program: a list, a clean environment, checked; the only subprocess import."""

import os
import selectors
import shutil
import subprocess
from collections.abc import Generator, Iterator, Mapping, Sequence
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
    process, subject = _start(argv, environment, inherit)
    with process:
        try:
            output, errors = _read_both(process)
            status = process.wait()
        except BaseException:
            process.kill()
            raise
    _check_status(subject, status, errors)
    if len(output) > MAX_OUTPUT_SIZE:
        raise HostError(f"run {subject}: expected at most {MAX_OUTPUT_SIZE} bytes, got more")
    return output


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
    process, subject = _start(argv, environment, inherit)
    errors = bytearray()
    with process:
        try:
            rest = bytearray()
            for chunk in _read_chunks(process, errors):
                rest += chunk
                *lines, tail = rest.split(b"\n") if b"\n" in chunk else (rest,)
                yield from map(bytes, lines)
                rest = tail
                if len(rest) > MAX_LINE_SIZE:
                    raise HostError(
                        f"run {subject}: expected lines of at most {MAX_LINE_SIZE} bytes, got more"
                    )
            if rest:
                yield bytes(rest)
            status = process.wait()
        except BaseException:
            process.kill()
            raise
    _check_status(subject, status, bytes(errors))


def _start(
    argv: Sequence[str | Path], environment: Mapping[str, str] | None, inherit: Sequence[int]
) -> "tuple[subprocess.Popen[bytes], str]":
    """The program, running, and what messages call it."""
    words = [str(word) for word in argv]
    subject = Path(words[0]).name
    with os_errors("run", subject):
        process = subprocess.Popen(  # noqa: S603  a list, and no shell
            words,
            env=_clean_environment() | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=inherit,
        )
    return process, subject


def _check_status(subject: str, status: int, errors: bytes) -> None:
    if status:
        raise HostError(f"run {subject}: expected exit status 0, got {status}: {_reason(errors)}")


def _search_path() -> str:
    return os.pathsep.join((os.environ.get("PATH", os.defpath), *_SYSTEM_PATH))


def _clean_environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("TMPDIR",) if name in os.environ}
    return {**kept, "PATH": _search_path(), "LC_ALL": "C"}


def _read_both(process: "subprocess.Popen[bytes]") -> tuple[bytes, bytes]:
    """The first bytes of the output and the last of the errors; the rest is read and dropped."""
    output, errors = bytearray(), bytearray()
    for chunk in _read_chunks(process, errors):
        output += chunk[: MAX_OUTPUT_SIZE + 1 - len(output)]
    return bytes(output), bytes(errors)


def _read_chunks(process: "subprocess.Popen[bytes]", errors: bytearray) -> Iterator[bytes]:
    """The output, piece by piece; `errors` is left with the last bytes of the errors."""
    with selectors.DefaultSelector() as selector:
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select():
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
