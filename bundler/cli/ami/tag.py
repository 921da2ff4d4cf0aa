"""ami-bundler ami tag."""

import argparse

from bundler.cli.console import Console, Result
from bundler.cli.image_changes import add_change_options, open_change
from bundler.errors import UsageError
from bundler.model.image import is_text
from bundler.model.resource_tag import MAX_KEY_LENGTH, parse_tags, tag_elements


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_change_options(parser)
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE", help="to set, or to replace")
    parser.add_argument(
        "--remove", action="append", default=[], metavar="KEY", help="may be given again"
    )


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """Set and remove tags."""
    tags = parse_tags(arguments.words, "ami tag")
    removed = [_check_key(key) for key in dict.fromkeys(arguments.remove)]
    if not (tags or removed):
        raise UsageError("ami tag: expected KEY=VALUE or --remove KEY, got neither")
    for key in removed:
        if key in dict(tags):
            raise UsageError(f"ami tag: the key {key!r} is to be set and to be removed")
    change = open_change(arguments)
    calls = []
    if tags:
        calls.append(change.call("CreateTags", Tags=tag_elements(tags)))
    if removed:
        keys = [{"Key": key} for key in removed]
        calls.append(change.call("DeleteTags", Tags=keys))
    return change.run(calls, f"tag AMI {change.image.image_id}", console)


def _check_key(key: str) -> str:
    if not is_text(key) or not 0 < len(key) <= MAX_KEY_LENGTH or key.lower().startswith("aws:"):
        raise UsageError(
            f"--remove {key[:20]!r}: expected the key of a tag: up to {MAX_KEY_LENGTH} characters "
            "that do not begin with aws:"
        )
    return key
