"""--query: JMESPath over what a command tells; the only jmespath import."""

import argparse
import json
from collections.abc import Mapping
from typing import Protocol, cast

import jmespath  # type: ignore[import-untyped]  # it has no types

from bundler.cli.console import Result, printable
from bundler.errors import UsageError


class Query(Protocol):
    """A compiled expression."""

    def search(self, value: object) -> object:
        """What the expression finds in a value."""


def add_query_option(parser: argparse.ArgumentParser, example: str) -> None:
    """--query."""
    parser.add_argument(
        "--query",
        default="",
        metavar="JMESPATH",
        help=f"of what --json prints, show only what this finds, such as '{example}'",
    )


def compile_query(text: str) -> Query | None:
    """A --query; None when there is none.

    Raises:
        UsageError: it is no JMESPath.
    """
    if not text:
        return None
    try:
        return cast("Query", jmespath.compile(text))
    except jmespath.exceptions.JMESPathError as error:
        raise UsageError(f"--query {text!r}: {_first_line(error)}") from error
    except RecursionError:
        raise UsageError("--query: too many expressions within each other") from None


def answer_query(query: Query, text: str, facts: object) -> Result:
    """What the query finds; for people a line for each of what it lists.

    Raises:
        UsageError: a function in it does not fit what is there.
    """
    try:
        found = query.search(facts)
    except (jmespath.exceptions.JMESPathError, ValueError, TypeError) as error:
        raise UsageError(f"--query {text!r}: {_first_line(error)}") from error
    # Nobody but json.dumps() reads them, which takes whatever a query finds.
    return Result(text="\n".join(_lines(found)), facts=cast("Mapping[str, object]", found))


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(":")


def _lines(found: object) -> list[str]:
    if isinstance(found, list) and all(_is_row(item) for item in found):
        return ["\t".join(map(_word, item if isinstance(item, list) else [item])) for item in found]
    if found is None or isinstance(found, dict | list):
        return [json.dumps(found, indent=2)]
    return [_word(found)]


def _is_row(item: object) -> bool:
    """Whether it is a word, or a list of words."""
    return not any(
        isinstance(word, dict | list) for word in (item if isinstance(item, list) else [item])
    )


def _word(value: object) -> str:
    return printable(value) if isinstance(value, str) else json.dumps(value)
