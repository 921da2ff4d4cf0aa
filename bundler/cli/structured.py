"""Options whose values have structure: in shorthand, as JSON, or in a file."""

from contextlib import suppress
from pathlib import Path

from bundler.errors import InputError, UsageError
from bundler.host.files import read_bounded
from bundler.model.shorthand import MAX_LENGTH, parse_shorthand

FILE_PREFIX = "file://"
"""What a value begins with that names the file where it is.  Source: AWS CLI user guide."""


def read_structured(option: str, word: str) -> object:
    """What an option's word says; ``file://PATH`` is for what the file says.

    Raises:
        UsageError: it is malformed.
        InputError: the file is too large, or no UTF-8.
        MissingError, HostError: the file cannot be read.
    """
    text = word
    if word.startswith(FILE_PREFIX):
        path = Path(word.removeprefix(FILE_PREFIX))
        with suppress(RuntimeError):  # ~ of a user who is not known
            path = path.expanduser()
        try:
            text = read_bounded(path, MAX_LENGTH, f"{option}: read").decode().strip()
        except UnicodeDecodeError as error:
            raise InputError(f"{option}: read {path}: expected UTF-8") from error
    try:
        return parse_shorthand(text)
    except UsageError as error:
        raise UsageError(f"{option}: {error}") from error
