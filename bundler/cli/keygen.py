"""ami-bundler keygen."""

import argparse
import getpass
from datetime import UTC, datetime
from pathlib import Path

from bundler.cli.console import Console, Result
from bundler.cli.options import add_force_option, parse_path, read_passphrase
from bundler.workflow.keys import write_key_pair


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--key",
        "-k",
        type=parse_path,
        default=Path("pk.pem"),
        metavar="PEM",
        help="default: pk.pem",
    )
    parser.add_argument(
        "--cert",
        "-c",
        type=parse_path,
        default=Path("cert.pem"),
        metavar="PEM",
        help="default: cert.pem",
    )
    parser.add_argument("--common-name", default="", metavar="NAME", help="default: your login")
    parser.add_argument(
        "--passphrase-file",
        type=parse_path,
        metavar="FILE",
        help="first line: a passphrase to encrypt the private key with (default: not encrypted)",
    )
    add_force_option(parser, "existing files")


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """Make a key pair."""
    path: Path | None = arguments.passphrase_file
    write_key_pair(
        arguments.key,
        arguments.cert,
        common_name=arguments.common_name or _login(),
        now=datetime.now(UTC),
        passphrase=read_passphrase(path) if path else None,
        force=arguments.force,
    )
    console.note(f"{arguments.key}: private key, keep it secret; {arguments.cert}: certificate")
    return Result(text="", facts={"key": str(arguments.key), "certificate": str(arguments.cert)})


def _login() -> str:
    """The user's name; containers may run as a user that has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the latter since Python 3.13
        return "ami-bundler"
