"""Patterns for files as rsync has them, and ordered lists of such rules.

Source: rsync(1), "PATTERN MATCHING RULES"; what it does not say (a bracket that is not closed,
a backslash in a pattern without wildcards) is as in rsync's exclude.c and wildmatch.c.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from bundler.errors import UsageError

MAX_PATTERN_SIZE = 4096
"""Most bytes of a pattern; rsync's own limit is that of a path."""

_NEVER = rb"(?!)"
_AHEAD = rb"(?:.*)/"
_CLASSES = {
    b"alnum": bytes(b for b in range(128) if bytes((b,)).isalnum()),
    b"alpha": bytes(b for b in range(128) if bytes((b,)).isalpha()),
    b"blank": b" \t",
    b"cntrl": bytes((*range(32), 127)),
    b"digit": b"0123456789",
    b"graph": bytes(range(33, 127)),
    b"lower": bytes(range(97, 123)),
    b"print": bytes(range(32, 127)),
    b"punct": bytes(b for b in range(33, 127) if not bytes((b,)).isalnum()),
    b"space": b" \t\n\v\f\r",
    b"upper": bytes(range(65, 91)),
    b"xdigit": b"0123456789abcdefABCDEF",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """One pattern, compiled; paths are relative to the root of what is copied."""

    text: bytes
    expression: bytes
    """A regular expression for "/" + path; of a directory with a "/" behind it if `is_deep`."""
    is_for_directories: bool
    """It ended with a slash."""
    is_name: bool
    """It is compared with the last part of a path alone."""
    is_deep: bool
    """It ends with ***: a directory, and all that is in it."""
    _matcher: "re.Pattern[bytes]" = field(repr=False, compare=False)

    @classmethod
    def compile(cls, text: bytes) -> "Pattern":
        """Read a pattern.

        Raises:
            UsageError: it is empty, has a NUL or is longer than MAX_PATTERN_SIZE.
        """
        if not text.strip(b"/") or b"\0" in text or len(text) > MAX_PATTERN_SIZE:
            shown = text[:60].decode(errors="backslashreplace")
            raise UsageError(
                f"read the pattern {shown!r}: expected 1 to {MAX_PATTERN_SIZE} bytes "
                "that name something, no NUL"
            )
        is_wild = any(character in text for character in b"*[?")
        is_for_directories = text.endswith(b"/")
        body = text[:-1] if is_for_directories else text
        expression = _expression(body, is_wild=is_wild)
        return cls(
            text=text,
            expression=expression,
            is_for_directories=is_for_directories,
            is_name=b"/" not in body and not (is_wild and b"**" in body),
            is_deep=text.endswith(b"***"),
            _matcher=re.compile(expression, re.DOTALL),
        )

    def matches(self, path: bytes, *, is_directory: bool) -> bool:
        """Whether a path, relative and without "./", is meant."""
        if self.is_for_directories and not is_directory:
            return False
        end = b"/" if self.is_deep and is_directory else b""
        return self._matcher.fullmatch(b"/" + path + end) is not None

    def may_match_below(self, path: bytes) -> bool:
        """Whether an anchored pattern could mean something inside a directory.

        Other patterns could everywhere; for them this is False.
        """
        if not self.text.startswith(b"/"):
            return False
        wanted = self.text.strip(b"/").split(b"/")
        have = path.split(b"/")
        for index, name in enumerate(have):
            if index >= len(wanted):
                return False
            if b"**" in wanted[index]:
                return True
            is_wild = any(character in self.text for character in b"*[?")
            piece = _translate(wanted[index]) if is_wild else re.escape(wanted[index])
            if re.fullmatch(piece, name, re.DOTALL) is None:
                return False
        return len(have) < len(wanted)


def _expression(body: bytes, *, is_wild: bool) -> bytes:
    rest = body[1:] if body.startswith(b"/") else body
    translated = _translate(rest) if is_wild else re.escape(rest)
    if body.startswith(b"/"):
        return b"/" + translated
    if body.startswith(b"**"):
        return translated  # ** takes the slash in front of the path, too
    if b"**" not in body and translated.replace(b"[^/]", b"").count(b"/") < rest.count(b"/"):
        return _NEVER  # rsync counts a slash in brackets as one, which then has none to match
    return _AHEAD + translated


def _translate(text: bytes) -> bytes:
    """A pattern with wildcards as a regular expression."""
    expression = bytearray()
    index = 0
    while index < len(text):
        character = text[index : index + 1]
        if character == b"*":
            end = index
            while text[end : end + 1] == b"*":
                end += 1
            expression += b".*" if end - index > 1 else b"[^/]*"
            index = end
        elif character == b"[":
            members, index = _bracket(text, index + 1)
            expression += members
        elif character == b"?":
            expression += b"[^/]"
            index += 1
        else:
            index += character == b"\\"
            literal = text[index : index + 1]
            expression += re.escape(literal) if literal else _NEVER
            index += 1
    return bytes(expression)


def _bracket(text: bytes, index: int) -> tuple[bytes, int]:
    """What stands in brackets, from behind the opening one, and where it ends."""
    is_negated = text[index : index + 1] in (b"!", b"^")
    index += is_negated
    members = set[int]()
    previous = -1
    is_first = True
    while is_first or text[index : index + 1] != b"]":
        is_first = False
        if index >= len(text):
            return _NEVER, len(text)
        character = text[index]
        if text.startswith(b"[:", index) and (end := text.find(b"]", index + 2)) >= 0:
            name = text[index + 2 : end - 1]
            if text[end - 1 : end] == b":" and end - 1 >= index + 2:
                if name not in _CLASSES:
                    return _NEVER, len(text)
                members.update(_CLASSES[name])
                previous, index = -1, end + 1
                continue
        if (
            character == ord("-")
            and previous > 0
            and text[index + 1 : index + 2] not in (b"", b"]")
        ):
            index += 1 + (text[index + 1 : index + 2] == b"\\")
            if index >= len(text):
                return _NEVER, len(text)
            members.update(range(previous, text[index] + 1))
            previous = -1
        else:
            index += character == ord("\\")
            if index >= len(text):
                return _NEVER, len(text)
            previous = text[index]
            members.add(previous)
        index += 1
    return _members(members, is_negated=is_negated), index + 1


def _members(members: set[int], *, is_negated: bool) -> bytes:
    """Never a slash, whatever the brackets say."""
    if is_negated:
        members = set(range(1, 256)) - members
    members.discard(ord("/"))
    if not members:
        return _NEVER
    return b"[" + b"".join(b"\\x%02x" % member for member in sorted(members)) + b"]"


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternRule:
    """A pattern, and what is done with what it matches."""

    pattern: Pattern
    is_include: bool
    reason: str = ""
    """Why it is left out; empty where the pattern says it."""
    is_secret: bool = False
    takes_links: bool = True
    """Whether symbolic links are meant, too."""
    takes_directories: bool = True
    """Whether directories are meant, too."""

    @property
    def name(self) -> str:
        """For a report."""
        return self.reason or self.pattern.text.decode(errors="backslashreplace")


class RuleList:
    """Rules in their order: the first that matches decides.

    Most files match none, which one regular expression for all of them finds out.
    """

    def __init__(self, rules: Iterable[PatternRule]) -> None:
        self.rules = tuple(rules)
        texts = [
            rule.pattern.expression + (b"/?" if rule.pattern.is_deep else b"")
            for rule in self.rules
        ]
        # Of those that match everywhere the part behind the last slash in front of them is told
        # apart first, so that the long run to it is made once for all.
        named = [text for text, rule in zip(texts, self.rules, strict=True) if rule.pattern.is_name]
        others = [
            text for text, rule in zip(texts, self.rules, strict=True) if not rule.pattern.is_name
        ]
        floating = [text.removeprefix(_AHEAD) for text in others if text.startswith(_AHEAD)]
        fixed = [text for text in others if not text.startswith(_AHEAD)]
        self._by_name = _union([text.removeprefix(_AHEAD) for text in named])
        self._by_path = _union([*fixed, *([_AHEAD + _group(floating)] if floating else [])])

    def __iter__(self) -> Iterator[PatternRule]:
        return iter(self.rules)

    def find(self, path: bytes, *, is_directory: bool) -> PatternRule | None:
        """The first rule that matches a path, relative and without "./"."""
        if not self.rules:
            return None
        name = path[path.rfind(b"/") + 1 :]
        if self._by_name.fullmatch(name) is None:
            end = b"/" if is_directory else b""
            full = b"/" + path
            if self._by_path.fullmatch(full) is None and (
                not end or self._by_path.fullmatch(full + end) is None
            ):
                return None
        for rule in self.rules:
            if rule.pattern.matches(path, is_directory=is_directory):
                return rule
        return None

    def may_include_below(self, path: bytes, until: PatternRule | None) -> bool:
        """Whether an anchored include ahead of the rule `until` could mean something inside."""
        for rule in self.rules:
            if rule is until:
                return False
            if rule.is_include and rule.pattern.may_match_below(path):
                return True
        return False


def _group(expressions: list[bytes]) -> bytes:
    return b"(?:" + b"|".join(expressions) + b")"


def _union(expressions: list[bytes]) -> "re.Pattern[bytes]":
    return re.compile(_group(expressions) if expressions else _NEVER, re.DOTALL)
