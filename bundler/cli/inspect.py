"""ami-bundler inspect."""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path

from bundler.cli.console import Console, Result, printable
from bundler.cli.options import add_cloud_options, add_transfer_options, is_url
from bundler.workflow.manifest_file import manifest_facts, read_manifest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("manifest", metavar="MANIFEST", help="a file, or s3://BUCKET/KEY")
    add_transfer_options(parser)
    add_cloud_options(parser)


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """Show a manifest; nothing of it is verified."""
    del console
    if is_url(arguments.manifest):
        from bundler.cli.stored import open_stored  # slow to import

        signed = open_stored(arguments, arguments.manifest).fetch()
    else:
        signed = read_manifest(Path(arguments.manifest))
    facts = manifest_facts(signed)
    return Result(text="\n".join(printable(line) for line in _lines(facts)), facts=facts)


def _lines(facts: Mapping[str, object]) -> Iterator[str]:
    for name, value in facts.items():
        match value:
            case {"algorithm": algorithm, "value": digest}:
                yield f"{name}: {algorithm} {digest}"
            case dict():
                yield f"{name}: " + " ".join(f"{key}={word}" for key, word in value.items())
            case list() if name == "parts":
                yield f"parts: {len(value)}"
                yield from (f"  {p['index']} {p['filename']} {p['digest']['value']}" for p in value)
            case list() if name == "block_device_mappings":
                yield f"{name}: " + " ".join(f"{m['virtual']}={m['device']}" for m in value)
            case list():
                yield f"{name}: " + " ".join(str(word) for word in value)
            case _:
                yield f"{name}: {value}"
