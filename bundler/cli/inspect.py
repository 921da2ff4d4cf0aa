"""ami-bundler inspect."""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path

from bundler.cli.console import Console, Result, printable
from bundler.workflow.manifest_file import manifest_facts, read_manifest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("manifest", type=Path, metavar="MANIFEST")


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """Show a manifest; nothing of it is verified."""
    del console
    facts = manifest_facts(read_manifest(arguments.manifest))
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
