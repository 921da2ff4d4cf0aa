"""Lines of /etc/fstab, changed field by field: what is not changed stays as it is, byte by byte.

Sources: fstab(5), getmntent(3), and libmount's quotes around the value of a tag.
"""

import re
from dataclasses import dataclass

from bundler.errors import InputError

MAX_FSTAB_SIZE = 64 * 1024
"""Most bytes of a file that is looked at; our choice."""

_LINE = re.compile(rb"[^\n]*\n|[^\n]+")
_FIELD = re.compile(rb"[^ \t\r\n]+")
_ESCAPE = re.compile(rb"\\([0-3][0-7]{2})")
_TO_ESCAPE = re.compile(rb"[ \t\n\r\\]")
_QUOTED = re.compile(r"""([A-Z]+)=(["'])(.*)\2""")

_SOURCE, _MOUNT_POINT, _TYPE, _OPTIONS = range(4)


@dataclass(frozen=True, slots=True, kw_only=True)
class FstabEntry:
    """What one line mounts; names are decoded as file names are."""

    source: str
    """Such as "UUID=...", "/dev/xvda1", "tmpfs" or "server:/path"."""
    mount_point: str
    """Without a "/" at its end; of swap "none", as a rule."""
    type: str
    """Empty where the line has none."""
    options: tuple[str, ...]

    @property
    def may_fail(self) -> bool:
        """Whether a system starts without it; the last word is Ubuntu's before systemd."""
        return not {"nofail", "noauto", "nobootwait"}.isdisjoint(self.options)


@dataclass(frozen=True, slots=True, kw_only=True)
class FstabLine:
    """A line, with its end; `entry` is None where it mounts nothing."""

    raw: bytes
    entry: FstabEntry | None

    @property
    def is_rubbish(self) -> bool:
        """Whether it is neither an entry nor a comment nor blank."""
        return self.entry is None and _content(self.raw) != b""


def parse_fstab(data: bytes) -> tuple[FstabLine, ...]:
    """All lines; render_fstab() gives the same bytes back.

    Raises:
        InputError: more than MAX_FSTAB_SIZE bytes.
    """
    if len(data) > MAX_FSTAB_SIZE:
        raise InputError(f"read /etc/fstab: expected at most {MAX_FSTAB_SIZE} bytes, got more")
    return tuple(_parse_line(raw) for raw in _LINE.findall(data))


def render_fstab(lines: tuple[FstabLine, ...]) -> bytes:
    """The file's bytes; a line that others follow gets an end if it has none."""
    ended = [line.raw if line.raw.endswith(b"\n") else line.raw + b"\n" for line in lines[:-1]]
    return b"".join((*ended, *(line.raw for line in lines[-1:])))


def with_fields(line: FstabLine, *, source: str, type_: str, options: tuple[str, ...]) -> FstabLine:
    """The same line with other fields where they differ, and its blanks and comment kept."""
    if line.entry is None:
        raise RuntimeError("the line of a comment has no fields")
    raw = line.raw
    spans = [match.span() for match in _FIELD.finditer(raw)]
    changes = (
        (_SOURCE, source, source != line.entry.source),
        (_TYPE, type_, type_ != line.entry.type),
        (_OPTIONS, ",".join(options) or "defaults", options != line.entry.options),
    )
    for index, text, is_changed in reversed(changes):
        if not is_changed:
            continue
        if index < len(spans):
            start, end = spans[index]
            raw = raw[:start] + _encode(text) + raw[end:]
        else:
            end = spans[-1][1]
            missing = [b"auto"] if index == _OPTIONS and not type_ else []
            raw = raw[:end] + b" " + b" ".join((*missing, _encode(text))) + raw[end:]
    return _parse_line(raw)


def without_effect(line: FstabLine) -> FstabLine:
    """The same line as a comment."""
    return FstabLine(raw=b"#" + line.raw, entry=None)


def comment_line(text: str) -> FstabLine:
    """A comment of one line, whatever characters the text has."""
    shown = "".join(one if one.isprintable() else "?" for one in text)
    return FstabLine(raw=f"# {shown}\n".encode(errors="replace"), entry=None)


def entry_line(*fields: str) -> FstabLine:
    """A new line."""
    return _parse_line(b"\t".join(map(_encode, fields)) + b"\n")


def _content(raw: bytes) -> bytes:
    content = raw.strip(b" \t\r\n")
    return b"" if content.startswith(b"#") else content


def _parse_line(raw: bytes) -> FstabLine:
    fields = [_decode(field) for field in _FIELD.findall(raw)] if _content(raw) else []
    if len(fields) <= _MOUNT_POINT:
        return FstabLine(raw=raw, entry=None)
    quoted = _QUOTED.fullmatch(fields[_SOURCE])
    return FstabLine(
        raw=raw,
        entry=FstabEntry(
            source=f"{quoted[1]}={quoted[3]}" if quoted else fields[_SOURCE],
            mount_point=_plain_path(fields[_MOUNT_POINT]),
            type=fields[_TYPE] if len(fields) > _TYPE else "",
            options=tuple(fields[_OPTIONS].split(",")) if len(fields) > _OPTIONS else (),
        ),
    )


def _plain_path(path: str) -> str:
    if not path.startswith("/"):
        return path
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


def _decode(field: bytes) -> str:
    plain = _ESCAPE.sub(lambda match: bytes((int(match[1], 8),)), field)
    return plain.decode(errors="surrogateescape")


def _encode(field: str) -> bytes:
    raw = field.encode(errors="surrogateescape")
    return _TO_ESCAPE.sub(lambda match: b"\\%03o" % match[0][0], raw)
