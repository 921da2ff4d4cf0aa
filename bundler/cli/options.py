"""Options that several commands share."""

import argparse
import os
import re
import time
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from bundler.cli.console import Console
from bundler.cli.structured import read_structured
from bundler.errors import InputError, UsageError
from bundler.host.files import read_bounded
from bundler.model.bundle import MIB
from bundler.model.device_mapping import DeviceMapping, read_mappings
from bundler.workflow.keys import Passphrase
from bundler.workflow.wait import WAIT_TIMEOUT, Patience

Choice = TypeVar("Choice", bound=StrEnum)

MAX_PASSPHRASE_FILE_SIZE = 4096
"""Most bytes of a passphrase file; our choice."""

MAX_TIMEOUT = 7 * 24 * 3600.0
"""Most seconds that --timeout takes.  Our choice: copies of terabytes take hours."""


def add_cloud_options(parser: argparse.ArgumentParser) -> None:
    """--region, --profile, --endpoint-url."""
    group = parser.add_argument_group("AWS")
    group.add_argument("--region", default="", help="default: AWS_REGION, or the profile's")
    group.add_argument("--profile", default="", help="a profile of ~/.aws (default: AWS_PROFILE)")
    group.add_argument("--endpoint-url", default="", metavar="URL", help="for private clouds")


def add_transfer_options(parser: argparse.ArgumentParser) -> None:
    """How requests to S3 are sent."""
    group = parser.add_argument_group("transfer")
    group.add_argument(
        "--max-concurrency",
        default="",
        metavar="N",
        help="requests side by side (default: 8; fewer while S3 asks to slow down)",
    )
    group.add_argument(
        "--max-bandwidth",
        default="",
        metavar="SIZE",
        help="bytes a second, or such as 5M (default: no limit)",
    )
    group.add_argument(
        "--max-attempts",
        default="",
        metavar="N",
        help="times a request is sent before it fails (default: 8)",
    )
    group.add_argument(
        "--retry-delay",
        default="",
        metavar="SECONDS",
        help="longest pause before the first retry; it doubles each time, up to 20 s "
        "(default: 0.5)",
    )
    group.add_argument(
        "--timeout",
        default="",
        metavar="SECONDS",
        help="of silence after which a connection counts as dead (default: 60)",
    )
    group.add_argument(
        "--request-payer",
        action="store_true",
        help="pay for requests to a bucket whose owner lets the requester pay",
    )


def add_resume_option(parser: argparse.ArgumentParser) -> None:
    """--no-resume."""
    parser.add_argument(
        "--no-resume",
        action="store_true",
        help="begin anew: keep nothing of an interrupted run",
    )


def add_dry_run_option(parser: argparse.ArgumentParser, *, asks: bool = True) -> None:
    """--dry-run; `asks` tells whether there are calls that EC2 can be asked about."""
    asking = ", ask EC2 whether they would succeed (DryRun)," if asks else ""
    parser.add_argument(
        "--dry-run",
        "-n",
        action="store_true",
        help=f"print the calls and their parameters{asking} and change nothing",
    )


def add_wait_options(parser: argparse.ArgumentParser, *, may_skip: bool = True) -> None:
    """--timeout and --no-wait."""
    parser.add_argument(
        "--timeout",
        default="",
        metavar="SECONDS",
        help=f"that are waited at most (default: {WAIT_TIMEOUT:g})",
    )
    if may_skip:
        parser.add_argument(
            "--no-wait", action="store_true", help="do not wait until it is done: print the id"
        )


def add_tag_option(parser: argparse.ArgumentParser, what: str) -> None:
    """--tag."""
    parser.add_argument(
        "--tag",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=f"of {what}, from its creation on; may be given again",
    )


def add_mapping_options(parser: argparse.ArgumentParser, example: str) -> None:
    """--block-device-mapping and --block-device-mappings."""
    parser.add_argument(
        "--block-device-mapping",
        "-B",
        action="append",
        default=[],
        metavar="VIRTUAL=DEVICE",
        help="an instance-store volume, such as ephemeral0=/dev/sdb; may be given again",
    )
    parser.add_argument(
        "--block-device-mappings",
        nargs="+",
        action="extend",
        default=[],
        metavar="MAPPING",
        help=f"as the AWS CLI takes them: {example}, or JSON, or file://PATH",
    )


def mappings_of(arguments: argparse.Namespace) -> tuple[DeviceMapping, ...]:
    """The mappings of both options.

    Raises:
        UsageError: one is malformed.
        InputError, MissingError, HostError: a file cannot be read.
    """
    option = "--block-device-mappings"
    found = [DeviceMapping.parse(word) for word in arguments.block_device_mapping]
    for word in arguments.block_device_mappings:
        found += read_mappings(read_structured(option, word))
    return tuple(found)


def patience_of(arguments: argparse.Namespace, console: Console, subject: str) -> Patience:
    """How long is waited; what is seen meanwhile is told of `subject`."""
    seconds = WAIT_TIMEOUT
    if arguments.timeout:
        seconds = parse_seconds(arguments.timeout, "--timeout", most=MAX_TIMEOUT)
    return Patience(
        sleep=time.sleep,
        clock=time.monotonic,
        timeout=seconds,
        tell=lambda state: console.note(f"{subject}: {state}"),
    )


def parse_path(text: str) -> Path:
    """A path; an empty one, such as of a variable that is not set, would be the directory.

    Raises:
        argparse.ArgumentTypeError: it is empty.
    """
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got ''")
    return Path(text)


def is_url(text: str) -> bool:
    """Whether an argument names something in S3, not a file."""
    return text.startswith("s3://")


def add_certificate_option(parser: argparse.ArgumentParser) -> None:
    """--cert, of a bundle that is there."""
    parser.add_argument(
        "--cert",
        "-c",
        type=parse_path,
        metavar="PEM",
        help="of whoever signed; checks the signature",
    )


def add_parts_option(parser: argparse.ArgumentParser) -> None:
    """--parts."""
    parser.add_argument(
        "--parts", "-s", type=parse_path, metavar="DIR", help="default: the manifest's directory"
    )


def add_passphrase_option(parser: argparse.ArgumentParser) -> None:
    """--passphrase-file."""
    parser.add_argument(
        "--passphrase-file",
        type=parse_path,
        metavar="FILE",
        help="first line: the private key's passphrase (default: asked for on a terminal)",
    )


def passphrase(arguments: argparse.Namespace, console: Console, key: Path) -> Passphrase:
    """Where the private key's passphrase comes from."""
    path: Path | None = arguments.passphrase_file
    if path is None:
        return lambda: console.ask_passphrase(str(key))
    return lambda: read_passphrase(path)


def read_passphrase(path: Path) -> bytes:
    """The first line of a passphrase file.

    Raises:
        InputError: it is empty.
    """
    text = read_bounded(path, MAX_PASSPHRASE_FILE_SIZE, "read passphrase").split(b"\n", 1)[0]
    if not text.rstrip(b"\r"):
        raise InputError(f"read passphrase {path}: the first line is empty")
    return text.rstrip(b"\r")


def path_option(arguments: argparse.Namespace, name: str, variable: str) -> Path:
    """A path from an option or else from the environment.

    Raises:
        UsageError: neither is given.
    """
    path: Path | None = getattr(arguments, name)
    if path is None and os.environ.get(variable):
        path = Path(os.environ[variable])
    if path is None:
        raise UsageError(f"{arguments.command}: expected --{name} or {variable}, got neither")
    return path


def choice(option: str, value: str, choices: type[Choice]) -> Choice:
    """The member of an enum that an option's value names.

    Raises:
        UsageError: none.
    """
    try:
        return choices(value)
    except ValueError:
        known = ", ".join(choice.value for choice in choices)
        raise UsageError(f"{option} {value!r}: expected one of {known}") from None


def parse_size(text: str, option: str) -> int:
    """A size in bytes: digits, with K, M or G for KiB, MiB or GiB behind them.

    Raises:
        UsageError: not of that form.
    """
    match = re.fullmatch(r"([0-9]{1,18})([KMG]?)(?:i?B)?", text)
    if not match:
        raise UsageError(f"{option} {text!r}: expected bytes, or such as 512K or 10M")
    return int(match[1]) * {"": 1, "K": 1024, "M": MIB, "G": 1024 * MIB}[match[2]]


def parse_count(text: str, option: str, *, most: int) -> int:
    """A number from 1 to `most`.

    Raises:
        UsageError: not one.
    """
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= most:
        raise UsageError(f"{option} {text!r}: expected a number from 1 to {most}")
    return int(text)


def parse_seconds(text: str, option: str, *, most: float) -> float:
    """A time above 0 and up to `most` seconds.

    Raises:
        UsageError: not one.
    """
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) or not 0 < float(text) <= most:
        raise UsageError(f"{option} {text!r}: expected seconds, more than 0 and up to {most:g}")
    return float(text)


def add_force_option(parser: argparse.ArgumentParser, what: str) -> None:
    """--force."""
    parser.add_argument("--force", action="store_true", help=f"replace {what}")
