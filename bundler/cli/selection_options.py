"""Options that say which files of a volume are copied."""

import argparse
import logging
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bundler.cli.options import parse_path
from bundler.errors import UsageError
from bundler.host.files import os_errors, read_bounded
from bundler.host.swap_files import swap_files
from bundler.model.bundle import MIB
from bundler.workflow.selection_rules import (
    Identity,
    SelectionRules,
    parse_filter_list,
    user_rules,
)

_WILDCARDS = "*?["
_logger = logging.getLogger(__name__)


def add_selection_options(parser: argparse.ArgumentParser) -> None:
    """--include, --exclude, --no-filter, --filter-list, --fail-on-secrets."""
    group = parser.add_argument_group(
        "files",
        "PATTERN is one of rsync's, or an absolute path; several may follow, or be parted by "
        "commas (? stands for one in a name).  The first that matches decides.",
    )
    for word, is_include, description in (
        ("include", True, "copied though the filter would leave it out; ahead of --exclude"),
        ("exclude", False, "not copied; a directory with all that is in it"),
    ):
        group.add_argument(
            f"--{word}",
            f"-{word[0]}",
            action=_PatternAction,
            nargs="+",
            const=is_include,
            default=[],
            dest="patterns",
            metavar="PATTERN",
            help=description,
        )
    group.add_argument(
        "--filter-list",
        type=parse_path,
        metavar="FILE",
        help="patterns to leave out in place of the built-in names, one a line, # comments",
    )
    group.add_argument(
        "--no-filter",
        action="store_true",
        help="leave out no secrets, histories and traces of this machine",
    )
    group.add_argument(
        "--fail-on-secrets",
        action="store_true",
        help="refuse a volume with secrets, before anything is copied",
    )


class _PatternAction(argparse.Action):
    """--include and --exclude share one list: their order matters."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        patterns = list(getattr(namespace, self.dest))
        for value in values or ():
            word = str(value)
            if word.startswith("s3://"):
                parser.error(f"{option_string} {word}: no pattern; put it ahead of {option_string}")
            patterns += [(bool(self.const), part) for part in word.split(",") if part]
        setattr(namespace, self.dest, patterns)


def selection_rules(
    arguments: argparse.Namespace, volume: Path, *, own: Sequence[Path]
) -> SelectionRules:
    """The rules that the options make; files and directories `own` are never copied.

    Raises:
        UsageError: options that contradict each other, or what is no pattern.
        MissingError, InputError, HostError: a file that is named cannot be read.
    """
    if arguments.no_filter and (arguments.filter_list or arguments.fail_on_secrets):
        other = "--filter-list" if arguments.filter_list else "--fail-on-secrets"
        raise UsageError(f"--no-filter, {other}: expected one of them")
    user = user_rules(
        [
            (is_include, os.fsencode(_anchored(text, volume, is_include=is_include)))
            for is_include, text in arguments.patterns
        ]
    )
    identities = _identities(swap_files(), "swap space in use")
    identities |= _identities(own, "of this program's own")
    if arguments.no_filter:
        return SelectionRules(
            identities=identities,
            user=user,
            names=user_rules(()),
            looks_into_files=False,
            empties=False,
        )
    if arguments.filter_list:
        path = arguments.filter_list
        names = parse_filter_list(read_bounded(path, MIB), str(path))
        return SelectionRules(identities=identities, user=user, names=names)
    return SelectionRules(identities=identities, user=user)


def _anchored(text: str, volume: Path, *, is_include: bool) -> str:
    """A pattern whose absolute path is one of this machine, as one in the volume."""
    if not text.startswith("/"):
        return text
    literal = text[: min((text.find(each) for each in _WILDCARDS if each in text), default=None)]
    is_wild = literal != text
    beginning = literal.rpartition("/")[0] if is_wild else literal
    for root in {os.path.abspath(volume), os.path.realpath(volume)} - {"/"}:  # noqa: PTH100 links
        is_below = text.startswith(f"{root}/")
        if is_below and os.path.lexists(beginning) and text.rstrip("/") != root:
            return text.removeprefix(root)
    if not is_wild and not os.path.lexists(f"{volume}/{literal}"):
        option = "--include" if is_include else "--exclude"
        _logger.warning("%s %s: the volume has no such file", option, text)
    return text


def _identities(paths: Sequence[Path], reason: str) -> dict[Identity, str]:
    """What tells files apart whatever their names; files that are not there have nothing."""
    identities = dict[Identity, str]()
    for path in paths:
        with os_errors("look at", path):
            if not path.exists():
                continue
            state = path.stat()
        if stat.S_ISREG(state.st_mode) or stat.S_ISDIR(state.st_mode):
            identities[state.st_dev, state.st_ino] = reason
    return identities
