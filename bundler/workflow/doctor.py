"""What may go wrong, found before it does: findings, and checks that need one another."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from bundler.errors import BundlerError


class Task(StrEnum):
    """What a person is about to do."""

    BUNDLE = "bundle"
    PUBLISH = "publish"
    REGISTER = "register"
    CONVERT = "convert"


class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    """The task may go on; a person should know."""
    FAIL = "fail"
    """The task would fail."""
    SKIP = "skip"
    """Not looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found.

    `message` may end in what to do, as errors do; else `remedy` has it.
    """

    check: str
    status: Status
    message: str
    remedy: str = ""
    exit_code: int = 0
    """Of the error that the task would end with; 0 unless it would fail."""

    @classmethod
    def ok(cls, check: str, message: str) -> "Finding":
        """All is well."""
        return cls(check=check, status=Status.OK, message=message)

    @classmethod
    def warn(cls, check: str, message: str, remedy: str = "") -> "Finding":
        """Something to know of."""
        return cls(check=check, status=Status.WARN, message=message, remedy=remedy)

    @classmethod
    def fail(
        cls, check: str, message: str, remedy: str = "", *, error: type[BundlerError]
    ) -> "Finding":
        """The task would end with such an error."""
        return cls(
            check=check,
            status=Status.FAIL,
            message=message,
            remedy=remedy,
            exit_code=error.exit_code,
        )

    @classmethod
    def of_error(cls, check: str, error: BundlerError) -> "Finding":
        """The task would end with this error."""
        return cls(check=check, status=Status.FAIL, message=str(error), exit_code=error.exit_code)

    @classmethod
    def skip(cls, check: str, reason: str) -> "Finding":
        """Nothing was looked at."""
        return cls(check=check, status=Status.SKIP, message=f"not looked at: {reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Something to look at; an error that `look` raises becomes its finding."""

    name: str
    look: Callable[[], Iterable[Finding]]
    needs: tuple[str, ...] = ()
    """Names of the checks without which there is nothing to look at."""


def examine(checks: Iterable[Check]) -> Iterator[Finding]:
    """Do the checks one after another; one that fails hides only those that need it."""
    lacking: set[str] = set()
    for check in checks:
        for finding in _look(check, lacking):
            if finding.status in (Status.FAIL, Status.SKIP):
                lacking.add(finding.check)
            yield finding


def _look(check: Check, lacking: set[str]) -> Iterator[Finding]:
    missing = [need for need in check.needs if need in lacking]
    if missing:
        yield Finding.skip(check.name, f"needs {missing[0]}")
        return
    try:
        yield from check.look()
    except BundlerError as error:
        yield Finding.of_error(check.name, error)


def exit_code(findings: Iterable[Finding]) -> int:
    """That of the first finding that fails; 0 when none does."""
    return next((finding.exit_code for finding in findings if finding.exit_code), 0)
