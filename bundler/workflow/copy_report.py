"""The report of a copied volume: what is not in the image and why, and what is all the same."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bundler.codec.path_text import show_path
from bundler.model.selection import Findings, Selection
from bundler.model.volume import LeftOutMount


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyReport:
    """What there is to tell."""

    selection: Selection
    left_out_mounts: tuple[LeftOutMount, ...] = ()
    vanished_count: int = 0
    vanished: tuple[bytes, ...] = ()
    """Relative paths of files that were chosen and gone when they were to be copied; the first."""
    notes: tuple[str, ...] = ()
    """What later steps have to say: of the boot loader, of /etc/fstab."""


def render_report(report: CopyReport) -> str:
    """The report for people, with a newline at its end."""
    return "".join(f"{_printable(line)}\n" for line in _lines(report))


def report_facts(report: CopyReport) -> dict[str, object]:
    r"""The report for programs.

    A path is absolute in the volume; what is not printable in it, and a backslash, is \xNN.
    """
    selection = report.selection
    return {
        "files": selection.file_count,
        "directories": selection.directory_count,
        "size": selection.size,
        "left_out": _facts(selection.left_out),
        "secrets": _facts(selection.secrets),
        "suspicious": _facts(selection.suspicious),
        "emptied": list(selection.emptied),
        "left_out_mounts": [
            {
                "path": mount.path,
                "type": mount.type,
                "source": mount.source,
                "reason": mount.reason,
            }
            for mount in report.left_out_mounts
        ],
        "vanished": {
            "count": report.vanished_count,
            "files": [show_path(path) for path in report.vanished],
        },
        "notes": list(report.notes),
    }


def _facts(findings: Findings) -> dict[str, object]:
    return {
        "count": findings.count,
        "files": [{"path": show_path(one.path), "reason": one.reason} for one in findings.told],
    }


def _lines(report: CopyReport) -> Iterator[str]:
    selection = report.selection
    yield (
        f"copied: {selection.file_count} files, {selection.directory_count} directories, "
        f"{selection.size} bytes"
    )
    yield from _section("left out", selection.left_out)
    yield from _section("kept, and suspicious", selection.suspicious)
    yield from _list("emptied", selection.emptied)
    yield from _list(
        "mounts left out",
        [f"{one.path} ({one.type} {one.source}): {one.reason}" for one in report.left_out_mounts],
    )
    yield from _list(
        "vanished before they were copied",
        [show_path(path) for path in report.vanished],
        count=report.vanished_count,
    )
    yield from _list("notes", report.notes)


def _section(title: str, findings: Findings) -> Iterator[str]:
    told = [f"{show_path(one.path)}: {one.reason}" for one in findings.told]
    return _list(title, told, count=findings.count)


def _list(title: str, lines: Iterable[str], *, count: int = 0) -> Iterator[str]:
    told = list(lines)
    count = max(count, len(told))
    if count:
        yield f"{title}: {count}"
        yield from (f"  {line}" for line in told)
        if count > len(told):
            yield f"  ... and {count - len(told)} more"


def _printable(line: str) -> str:
    """Mounts' names and notes may come from the volume, too."""
    return "".join(character if character.isprintable() else "?" for character in line)
