"""Entry point: parse, dispatch, and turn errors into one line and an exit code."""

import argparse
import io
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from types import FrameType
from typing import NoReturn

from bundler import __version__
from bundler.cli.ami import VERBS
from bundler.cli.console import Console, Result
from bundler.errors import EXIT_INTERRUPTED, EXIT_UNREAD, BundlerError, UsageError

COMMANDS = {
    "image": "bundle an image file, block device or EBS snapshot: parts and a signed manifest",
    "volume": "bundle the running root volume, or a directory tree",
    "inspect": "show everything that a manifest says",
    "verify": "check a bundle: signature, parts, sizes, digests",
    "unbundle": "turn a bundle back into an image file",
    "upload": "send a bundle to S3, the manifest last",
    "download": "get a bundle from S3, each part checked, the manifest last",
    "migrate": "take a bundle in S3 to another bucket, region or partition",
    "register": "register a bundle in S3 as an AMI",
    "publish": "bundle, upload and register in one pass, with no bundle on the local disk",
    "snapshot": "make an EBS snapshot of a raw image or block device",
    "convert": "turn a bundle or S3-backed AMI into an EBS-backed AMI, or into an image file",
    "ls": "list the bundles in S3: whole or not, their sizes, AMIs and cost",
    "delete": "delete a bundle from S3, the manifest first",
    "keygen": "make an RSA key and a certificate to sign bundles with",
    "doctor": "look beforehand at what could go wrong, and tell what helps",
    "ami": "the life of AMIs: register, list, show, share, copy, launch, deregister and more",
    "demo": "run the main job against an S3 and EC2 of its own on this machine",
}
"""Commands and their summaries; each is a module of this package, imported when it is run."""

GROUPS = {"ami": VERBS}
"""Commands that are packages of verbs, in the same way."""

TASKS = {("doctor", "volume"): "doctor_volume"}
"""Words directly behind a command that give it the arguments of another, and the module."""

EXIT_CODES = """exit codes:
  0 ok    1 internal error    2 usage    3 bad input    4 verification failed
  5 missing file, program or package    6 AWS refused    7 transfer failed
  8 this machine failed (disk full, permission)    130 interrupted"""


class _Parser(argparse.ArgumentParser):
    """Reports a usage error as all other errors are reported."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog.partition(' ')[2] or 'usage'}: {message}")


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    """The parser; only the module of the command in `argv` is imported, for a fast start."""
    parser = _Parser(
        prog="ami-bundler",
        description="Bundles of EC2 S3-backed (instance store-backed) AMIs.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"ami-bundler {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    command = next((word for word in argv if word in COMMANDS), None)
    for name, summary in COMMANDS.items():
        subparser = _add_parser(commands, name, summary)
        if name != command:
            continue
        if name not in GROUPS:
            _complete(subparser, name, module=_module_of(name, argv))
            continue
        verbs = subparser.add_subparsers(dest="verb", metavar="VERB", required=True)
        chosen = next((word for word in argv if word in GROUPS[name]), None)
        for verb, verb_summary in GROUPS[name].items():
            verb_parser = _add_parser(verbs, verb, verb_summary)
            if verb == chosen:
                _complete(verb_parser, name, verb)
    return parser


def _add_parser(parsers: "argparse._SubParsersAction[_Parser]", name: str, summary: str) -> _Parser:
    description = summary[0].upper() + summary[1:] + "."
    return parsers.add_parser(name, help=summary, description=description, allow_abbrev=False)


def _module_of(command: str, argv: Sequence[str]) -> str:
    """The module of a command, by what is directly behind it."""
    behind = argv[argv.index(command) + 1 :]
    task = next((word for word in behind if word not in _COMMON_OPTIONS), "")
    return TASKS.get((command, task), command)


_COMMON_OPTIONS = ("--json", "--quiet", "-q", "--verbose", "-v", "-vv")


def _complete(parser: _Parser, *words: str, module: str = "") -> None:
    """Let a command's module add its arguments; `words` name the command, and the module."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--quiet", "-q", action="store_true", help="no progress")
    parser.add_argument(
        "--verbose", "-v", action="count", default=0, help="tell more; twice: every step"
    )
    path = ("bundler.cli", module) if module else ("bundler.cli", *words)
    found = import_module(".".join(path).replace("-", "_"))
    found.add_arguments(parser)
    parser.set_defaults(command=" ".join(words), handle=found.handle)


def _parse(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """parse_args(), but where a command takes `words` options may stand between them."""
    arguments, rest = parser.parse_known_args(argv)
    if "words" in arguments and not any(word.startswith("-") for word in rest):
        arguments.words = [*arguments.words, *rest]
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return arguments


def run(argv: Sequence[str], console: Console) -> int:
    """Run one command and show its result; the exit code.

    Raises:
        BundlerError: it failed.
        SystemExit: after --help and --version.
    """
    arguments = _parse(_parser(argv), argv)
    console.is_quiet, console.is_json = arguments.quiet, arguments.json
    console.set_verbosity(arguments.verbose)
    result: Result = arguments.handle(arguments, console)
    console.show(result)
    return result.exit_code


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    console = Console()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # paths may be no text at all
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, _interrupt)
    try:
        exit_code = run(sys.argv[1:] if argv is None else argv, console)
    except BundlerError as error:
        console.fail(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        console.fail("interrupted")
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        sys.exit(EXIT_UNREAD)
    sys.exit(exit_code)


def run_program() -> NoReturn:
    """main(), and then end at once: the console script.

    Threads that wait for the network would keep the interpreter from ending for minutes.
    """
    try:
        main()
    except SystemExit as end:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(end.code if isinstance(end.code, int) else 0)


def _interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    del signum, frame
    raise KeyboardInterrupt
