import os
import signal
from collections.abc import Generator
from pathlib import Path
from types import FrameType

import pytest

from bundler.errors import HostError, MissingError
from bundler.host.run import MAX_LINE_SIZE, MAX_OUTPUT_SIZE, find_program, run, run_lines


def sh(script: str, *words: str | Path) -> bytes:
    return run((find_program("sh", package="dash"), "-c", script, "sh", *words))


def sh_lines(script: str, *words: str | Path) -> Generator[bytes, None, None]:
    return run_lines((find_program("sh", package="dash"), "-c", script, "sh", *words))


def test_output_is_returned() -> None:
    assert sh('printf "%s|" "$@"', "a b", "$(id)", "*") == b"a b|$(id)|*|"


def test_standard_input_is_empty() -> None:
    assert sh("cat") == b""


def test_failure_tells_the_last_line_of_standard_error() -> None:
    with pytest.raises(HostError, match=r"^run sh: expected exit status 0, got 3: no \?\[1mroom$"):
        sh(r'echo first >&2; printf "no \033[1mroom\n" >&2; exit 3')


def test_failure_without_a_word() -> None:
    with pytest.raises(HostError, match="got 1: no message"):
        sh("exit 1")


def test_end_by_a_signal_is_a_failure() -> None:
    with pytest.raises(HostError, match="got signal 9"):
        sh("kill -KILL $$")


def test_missing_program_is_named_with_its_package() -> None:
    with pytest.raises(
        MissingError, match=r"^run no-such-program: .* install the package nothing$"
    ):
        find_program("no-such-program", package="nothing")


def test_program_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"^run gone: No such file"):
        run((tmp_path / "gone",))


def test_program_that_may_not_be_run(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text")
    with pytest.raises(HostError, match=r"^run text: Permission denied"):
        run((tmp_path / "text",))


def test_programs_of_the_administrator_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert find_program("sh", package="dash").is_file()


def test_environment_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    output = run((find_program("env", package="coreutils"),), environment={"ADDED": "yes"})
    variables = dict(line.split("=", 1) for line in output.decode().splitlines())
    assert variables.keys() <= {"PATH", "LC_ALL", "ADDED", "TMPDIR"}
    assert variables["LC_ALL"] == "C"
    assert variables["ADDED"] == "yes"


@pytest.mark.parametrize("size", [0, 1, MAX_OUTPUT_SIZE - 1, MAX_OUTPUT_SIZE])
def test_output_up_to_the_bound(size: int) -> None:
    assert sh('head -c "$1" /dev/zero; head -c "$1" /dev/zero >&2', str(size)) == bytes(size)


def test_output_beyond_the_bound() -> None:
    with pytest.raises(HostError, match=f"expected at most {MAX_OUTPUT_SIZE} bytes, got more"):
        sh('head -c "$1" /dev/zero', str(MAX_OUTPUT_SIZE + 1))


def test_interrupt_ends_the_program(tmp_path: Path) -> None:
    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        # More than a pipe holds: when it is written the caller is reading.
        flood = "head -c 300000 /dev/zero"
        with pytest.raises(KeyboardInterrupt):
            sh(f'echo $$ >"$1"; {flood}; kill -USR1 $PPID; exec sleep 1000', tmp_path / "pid")
    finally:
        signal.signal(signal.SIGUSR1, before)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_lines_come_one_by_one_however_many() -> None:
    lines = list(sh_lines("echo warning >&2; seq 300000; printf end"))
    assert lines == [b"%d" % number for number in range(1, 300001)] + [b"end"]


@pytest.mark.parametrize(
    ("text", "lines"),
    [("", []), (r"\n", [b""]), (r"\n\na", [b"", b"", b"a"]), ("a b", [b"a b"])],
)
def test_lines_are_cut_where_they_end(text: str, lines: list[bytes]) -> None:
    assert list(sh_lines(f"printf '{text}'")) == lines


def test_lines_of_a_program_that_fails() -> None:
    lines = sh_lines("echo one; echo no room >&2; exit 3")
    assert next(lines) == b"one"
    with pytest.raises(HostError, match=r"^run sh: expected exit status 0, got 3: no room$"):
        next(lines)


def test_a_line_beyond_the_bound() -> None:
    with pytest.raises(HostError, match=f"lines of at most {MAX_LINE_SIZE} bytes, got more"):
        list(sh_lines('head -c "$1" /dev/zero', str(MAX_LINE_SIZE + 1)))


def test_who_wants_no_more_lines_ends_the_program() -> None:
    lines = sh_lines("echo $$; exec yes")
    number = int(next(lines))
    lines.close()
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
