"""Every error a caller can meet, and the exit code of each category.

A message is one line: operation, subject (path, part, S3 URL): expected, got.  It never
holds a secret.  An exit code is settled once released: scripts depend on it.
"""

EXIT_INTERRUPTED = 130
"""Exit code after Ctrl-C, as a shell reports a process that SIGINT ended."""

EXIT_UNREAD = 141
"""Exit code when whoever read our output has gone, as a shell reports SIGPIPE."""


class BundlerError(Exception):
    """Base of all errors that are not our bugs.  `exit_code` is the process's exit code."""

    exit_code = 1


class UsageError(BundlerError):
    """An argument is wrong: the caller must call again, corrected."""

    exit_code = 2


class InputError(BundlerError):
    """An input file (image, key, certificate, manifest, archive) is not what it must be."""

    exit_code = 3


class ManifestError(InputError):
    """The manifest is malformed, hostile, or of a version that cannot be read."""


class VerificationError(BundlerError):
    """Well formed, but a signature, digest, size or key does not hold.  Never retried."""

    exit_code = 4


class MissingError(BundlerError):
    """A file, program or optional package that is needed is absent."""

    exit_code = 5


class AwsRefusedError(BundlerError):
    """AWS understood the request and refused it; the same request will be refused again.

    `code` is the service's error code, such as "AccessDenied".
    """

    exit_code = 6

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class TransferError(BundlerError):
    """The network or the service failed; the same request may succeed later.

    `code` is the service's error code, such as "SlowDown"; empty when it said nothing.
    """

    exit_code = 7

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class HostError(BundlerError):
    """This machine failed: the disk is full or broken, or a file may not be read or written."""

    exit_code = 8


class InUseError(UsageError):
    """AMIs still need what is to be removed; see --force."""


class ExistsError(UsageError):
    """The output exists already, or another process is writing it; see --force."""
