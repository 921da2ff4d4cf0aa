"""The command line of bench.py."""

import argparse
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmark.competitors import COMPRESSORS, DECOMPRESSORS, LEVELS

UNBUNDLERS = (*DECOMPRESSORS, "ours-unbundle")
TRANSFERS = ("ours-upload", "aws-upload", "ours-download", "aws-download")
SERVERS = ("moto", "seaweedfs", "swift")
NAMES = (
    *COMPRESSORS,
    *(f"ours-{level}" for level in LEVELS),
    *UNBUNDLERS,
    *(f"publish-{level}" for level in LEVELS),
    *TRANSFERS,
)
"""All competitors."""
UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def _parse_size(text: str) -> int:
    """Bytes of "760MB", "1GiB" or "4096"."""
    match = re.fullmatch(r"(\d+) ?([KMG]I?B)?", text.strip().upper())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 760MB or 1GiB")
    return int(match[1]) * UNITS[match[2] or ""]


def _parse_count(text: str) -> int:
    """A number above 0."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)


def _list_of(allowed: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """Parser of comma-separated names."""

    def parse(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        for name in names:
            if name not in allowed:
                raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(allowed)}")
        return names

    return parse


def make_parser(description: str) -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    _add_image_options(parser.add_argument_group("image"))
    group = parser.add_argument_group("what to measure")
    mode = group.add_mutually_exclusive_group()
    add = mode.add_argument
    add("--publish", action="store_true", help="publish to a moto server against bundling alone")
    add("--memory", action="store_true", help="ami-bundler on 256 MiB, and on 10 GiB with holes")
    add("--transfer", action="store_true", help="upload and download against the AWS CLI")
    add = group.add_argument
    add("--only", type=_list_of(NAMES), metavar="NAME,...", help=f"of {', '.join(NAMES)}")
    text = f"of ami-bundler (default: {','.join(LEVELS)})"
    add("--levels", type=_list_of(LEVELS), default=LEVELS, metavar="LEVEL,...", help=text)
    add("--runs", type=_parse_count, default=5, metavar="N", help="rounds (default: 5)")
    _add_transfer_options(parser.add_argument_group("transfer"))
    add = parser.add_argument_group("files").add_argument
    work_dir = Path(tempfile.gettempdir(), f"ami-bundler-bench-{os.getuid()}")
    text = f"images (kept for the next call), keys and output (default: {work_dir})"
    add("--work-dir", type=Path, default=work_dir, metavar="DIR", help=text)
    add("--json", type=Path, metavar="FILE", help="write the raw numbers there")
    return parser


def _add_image_options(group: argparse._ArgumentGroup) -> None:
    """Options that choose the image."""
    source = group.add_mutually_exclusive_group()
    text = "ext4 image of files of DIR, always the same choice of them (default: /usr)"
    source.add_argument(
        "--from", dest="source", type=Path, default="/usr", metavar="DIR", help=text
    )
    text = "ext4 image made from a fixed seed: text, programs, gzip files, zeros, deleted files"
    source.add_argument("--synthetic", action="store_true", help=text)
    source.add_argument("--image", type=Path, metavar="FILE", help="an image of your own")
    text = "bytes of data (default: 760MB)"
    group.add_argument("--data-size", type=_parse_size, default="760MB", metavar="SIZE", help=text)
    text = "bytes of the image (default: 1.4 times the data, a multiple of 64 MiB)"
    group.add_argument("--image-size", type=_parse_size, metavar="SIZE", help=text)


def _add_transfer_options(group: argparse._ArgumentGroup) -> None:
    """Options of --transfer."""
    text = "S3 of the measurement (default: moto, which needs the least CPU)"
    group.add_argument("--server", choices=SERVERS, default="moto", help=text)
    text = "the AWS CLI, a path or a name on PATH (default: version 1, installed below --work-dir)"
    group.add_argument("--aws", default="", metavar="PATH", help=text)
