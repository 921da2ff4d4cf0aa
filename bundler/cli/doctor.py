"""ami-bundler doctor."""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from bundler.cli.bundle_options import add_bundle_options, add_key_options
from bundler.cli.console import Console, Result, printable
from bundler.cli.discard_option import add_discard_option
from bundler.cli.doctor_bucket import BucketChecks
from bundler.cli.doctor_case import Case
from bundler.cli.doctor_cloud import CloudChecks
from bundler.cli.doctor_local import LocalChecks
from bundler.cli.options import (
    add_cloud_options,
    add_force_option,
    add_resume_option,
    add_transfer_options,
    is_url,
    parse_path,
)
from bundler.cli.publish import add_state_option
from bundler.cli.register import add_registration_options
from bundler.cli.upload import add_bucket_options
from bundler.errors import UsageError
from bundler.model.image import ImageLocation
from bundler.workflow.doctor import Check, Finding, Status, Task, examine, exit_code

TASKS = {task.value: task for task in Task} | {"image": Task.BUNDLE}
"""By the words for them: the command that bundles is called image."""

STATUS_WIDTH = max(map(len, Status))
"""Columns of a line that tell how a check ended."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments: those of the commands that it looks ahead of."""
    parser.add_argument(
        "words",
        nargs="*",
        metavar="TASK|SOURCE|s3://BUCKET/PREFIX",
        help="first what you are about to do: bundle, publish, register or convert, or volume, "
        "which has options of its own (see ami-bundler doctor volume --help; default: "
        "publish if an s3:// URL is given, else bundle); then, in any order, an image (or "
        "snap-..., ami-..., as for publish), and where the bundle goes or, to register, its "
        "manifest",
    )
    add_probe_option(parser)
    parser.add_argument(
        "--directory",
        "--destination",
        "-d",
        type=parse_path,
        metavar="DIR",
        help="where the bundle will be written: is there room?",
    )
    parser.add_argument(
        "--no-space-check",
        action="store_true",
        help="warn only if the disk could not hold a bundle that does not compress at all",
    )
    add_registration_options(parser, is_name_required=False)
    parser.set_defaults(virtualization_type="")  # an AMI as the source may say it
    parser.add_argument(
        "--bundle-name", "-p", default="", metavar="NAME", help="default: the image's"
    )
    add_bucket_options(parser)
    add_force_option(parser, "a bundle of that name: it is no failure then that there is one")
    add_resume_option(parser)
    add_state_option(parser)
    add_bundle_options(parser)
    add_discard_option(parser)
    add_key_options(parser)
    add_transfer_options(parser)
    add_cloud_options(parser)


def add_probe_option(parser: argparse.ArgumentParser) -> None:
    """--no-probe."""
    parser.add_argument(
        "--no-probe",
        action="store_true",
        help="put no object: else one of a few bytes is put with the ACL, read, and removed",
    )


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """Look at all that could go wrong."""
    case = open_case(arguments, console)
    with ExitStack() as stack:
        findings = tuple(examine(_checks(case, stack)))
    return show_findings(case.task.value, findings)


def show_findings(task: str, findings: Sequence[Finding]) -> Result:
    """What to show of them; the exit code is that of the first that fails."""
    is_ok = not any(finding.status is Status.FAIL for finding in findings)
    return Result(
        text="\n".join(_line(finding) for finding in findings),
        facts={
            "task": task,
            "ok": is_ok,
            "findings": [
                {
                    "check": finding.check,
                    "status": finding.status.value,
                    "message": finding.message,
                    "remedy": finding.remedy,
                }
                for finding in findings
            ],
        },
        exit_code=exit_code(findings),
    )


def open_case(arguments: argparse.Namespace, console: Console) -> Case:
    """What the words on the command line mean, each by its form.

    Raises:
        UsageError: there are too many.
    """
    words: Sequence[str] = arguments.words
    task = None
    if "volume" in words[:1]:
        raise UsageError("doctor: expected volume directly behind doctor, got options between")
    if words and words[0] in TASKS:
        task, words = TASKS[words[0]], words[1:]
    urls = [word for word in words if is_url(word)]
    images = [word for word in words if not is_url(word)]
    if len(urls) > 1 or len(images) > 1:
        raise UsageError("doctor: expected one IMAGE and one s3:// URL at most, got more")
    return Case(
        task=task or (Task.PUBLISH if urls else Task.BUNDLE),
        arguments=arguments,
        console=console,
        image=Path(images[0]) if images else None,
        location=ImageLocation.parse(urls[0]) if urls else None,
    )


def _checks(case: Case, stack: ExitStack) -> Iterator[Check]:
    """In an order in which each comes behind those that it needs."""
    cloud = CloudChecks(case)
    yield from cloud.first_checks()
    yield from LocalChecks(case, stack).checks()
    if case.task is not Task.BUNDLE:
        yield from BucketChecks(case, cloud).checks()
    yield from cloud.last_checks()


def _line(finding: Finding) -> str:
    words = f"{finding.check}: {finding.message}"
    if finding.remedy:
        words = f"{words}; {finding.remedy}"
    return printable(f"{finding.status:{STATUS_WIDTH}}  {words}")
