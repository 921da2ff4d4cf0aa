r"""Structured values on the command line: the AWS CLI's shorthand, or JSON.

``Name=state,Values=available,pending`` is the same as ``{"Name": "state", "Values":
["available", "pending"]}``.  Where a word begins with ``{`` or ``[`` it is JSON.

Source: AWS CLI user guide, "Using shorthand syntax": ``KEY=VALUE,...``, where a value is a
word, words with commas between, ``[VALUE,...]`` or ``{KEY=VALUE,...}``.  Quotes, single or
double, keep what is between them as it is; ``\,`` is a comma in a word without them.
"""

import json
import re
from typing import NoReturn

from bundler.errors import UsageError

MAX_LENGTH = 1024 * 1024
"""Most characters of a value; our choice."""

MAX_DEPTH = 20
"""Most values within each other in shorthand; our choice."""

_KEY = re.compile(r"[A-Za-z0-9_.#/:-]+")
_FIRST_WORD = re.compile(r"(?:\\,|[^,\[\]{}'\"=])(?:\\,|[^,\]}'\"])*")
"""A value's first word: an equals sign may be in it, but not begin it."""
_NEXT_WORD = re.compile(r"(?:\\,|[^,\[\]{}'\"=])(?:\\,|[^,\]}'\"=])*")
"""A further word: with an equals sign in it it would be the next key."""
_QUOTED = re.compile(r"'((?:\\.|[^\\'])*)'|\"((?:\\.|[^\\\"])*)\"", re.DOTALL)


def parse_shorthand(text: str) -> object:
    """What a word says: dictionaries, lists and texts, and in JSON numbers and truth as well.

    One value is a text, and several with commas between are a list: whoever wants a list
    takes a text for a list of one.

    Raises:
        UsageError: malformed, a key twice, or too large.
    """
    if len(text) > MAX_LENGTH:
        raise UsageError(f"structured value: expected at most {MAX_LENGTH} characters")
    if text.lstrip()[:1] in ("{", "["):
        return _parse_json(text)
    return _Shorthand(text).parse()


def _parse_json(text: str) -> object:
    try:
        value: object = json.loads(
            text, object_pairs_hook=_dictionary, parse_constant=_refuse_constant
        )
    except RecursionError:
        raise UsageError(f"JSON {_excerpt(text)}: too many values within each other") from None
    except ValueError as error:
        raise UsageError(f"JSON {_excerpt(text)}: {error}") from error
    return value


def _dictionary(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} is there twice")
    return result


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


def _excerpt(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}...")


class _Shorthand:
    """A walk over one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def parse(self) -> dict[str, object]:
        result = self._pairs(depth=1)
        if self._at < len(self._text):
            self._fail("a comma")
        return result

    def _pairs(self, *, depth: int) -> dict[str, object]:
        """``KEY=VALUE,...`` up to what cannot go on; inner ones have no lists without brackets."""
        pairs: dict[str, object] = {}
        while True:
            key = self._key()
            if key in pairs:
                raise UsageError(
                    f"shorthand {_excerpt(self._text)}: the key {key!r} is there twice"
                )
            self._take("=")
            pairs[key] = self._value(depth) if depth > 1 else self._values(depth)
            if not self._skip(","):
                return pairs

    def _key(self) -> str:
        self._skip_blanks()
        match = _KEY.match(self._text, self._at)
        if match is None:
            self._fail("a key")
        self._at = match.end()
        self._skip_blanks()
        return match[0]

    def _values(self, depth: int) -> object:
        """One value, or several with commas between, up to the next key."""
        first = self._value(depth)
        if not isinstance(first, str):
            return first
        values = [first]
        while self._peek() == ",":
            start = self._at
            self._at += 1
            if self._peek() == "":
                self._fail("a value or a key")
            word = self._next_word()
            if word is None:  # what follows the comma is a key
                self._at = start
                break
            values.append(word)
        return first if len(values) == 1 else values

    def _next_word(self) -> str | None:
        word = self._word(_NEXT_WORD)
        return None if self._peek() == "=" else word

    def _value(self, depth: int) -> object:
        if depth > MAX_DEPTH:
            raise UsageError(
                f"shorthand {_excerpt(self._text)}: more than {MAX_DEPTH} values within each other"
            )
        self._skip_blanks()
        if self._skip("["):
            return self._list(depth)
        if self._skip("{"):
            pairs = {} if self._peek() == "}" else self._pairs(depth=depth + 1)
            self._take("}")
            return pairs
        return self._word(_FIRST_WORD)

    def _list(self, depth: int) -> list[object]:
        values: list[object] = []
        while not self._skip("]"):
            if values:
                self._take(",")
                if self._skip("]"):  # a comma may end it
                    break
            if self._peek() == "":
                self._fail("']'")
            values.append(self._value(depth + 1))
        return values

    def _word(self, pattern: re.Pattern[str]) -> str:
        """A word, quoted or not; empty where there is none."""
        self._skip_blanks()
        if self._peek() in ("'", '"'):
            quoted = _QUOTED.match(self._text, self._at)
            if quoted is None:
                self._fail("a closing quote")
            self._at = quoted.end()
            self._skip_blanks()
            inner = quoted[1] if quoted[1] is not None else quoted[2]
            return re.sub(r"\\([\\'\"])", r"\1", inner)
        plain = pattern.match(self._text, self._at)
        if plain is None:
            return ""
        self._at = plain.end()
        return plain[0].rstrip().replace("\\,", ",")

    def _peek(self) -> str:
        self._skip_blanks()
        return self._text[self._at : self._at + 1]

    def _skip(self, character: str) -> bool:
        if self._peek() != character:
            return False
        self._at += 1
        return True

    def _take(self, character: str) -> None:
        if not self._skip(character):
            self._fail(repr(character))

    def _skip_blanks(self) -> None:
        while self._text[self._at : self._at + 1].isspace():
            self._at += 1

    def _fail(self, expected: str) -> NoReturn:
        got = repr(self._text[self._at]) if self._at < len(self._text) else "its end"
        raise UsageError(
            f"shorthand {_excerpt(self._text)}: expected {expected} at character "
            f"{self._at + 1}, got {got}"
        )
