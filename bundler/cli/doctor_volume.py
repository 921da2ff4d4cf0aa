"""ami-bundler doctor volume: what could go wrong with ami-bundler volume of the same options."""

import argparse
from collections.abc import Iterator
from contextlib import ExitStack

from bundler.cli.console import Console, Result
from bundler.cli.doctor import add_probe_option, show_findings
from bundler.cli.doctor_bucket import BucketChecks
from bundler.cli.doctor_case import Case
from bundler.cli.doctor_cloud import CloudChecks
from bundler.cli.doctor_local import LocalChecks
from bundler.cli.doctor_volume_checks import VolumeChecks
from bundler.cli.options import is_url
from bundler.cli.volume import add_options
from bundler.errors import UsageError
from bundler.model.image import ImageLocation
from bundler.workflow.doctor import Check, Task, examine

TASK = "volume"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments: those of ami-bundler volume."""
    parser.add_argument(
        "words",
        nargs="*",
        metavar="volume [s3://BUCKET/PREFIX]",
        help="put doctor in front of the command line of ami-bundler volume",
    )
    add_probe_option(parser)
    add_options(parser)


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """Look at all that could go wrong; nothing is changed."""
    words = arguments.words[1:]
    if len(words) > 1 or not all(map(is_url, words)):
        raise UsageError("doctor volume: expected one s3:// URL at most, got more words")
    arguments = argparse.Namespace(**{**vars(arguments), "location": "".join(words)})
    with ExitStack() as stack:
        return show_findings(TASK, tuple(examine(_checks(arguments, console, stack))))


def _checks(arguments: argparse.Namespace, console: Console, stack: ExitStack) -> Iterator[Check]:
    """In an order in which each comes behind those that it needs."""
    volume = VolumeChecks(arguments, console, stack)
    yield from volume.checks()
    if not arguments.clone_only:
        yield from volume.inheritance()
        # Only now it is known what the instance tells that the options do not.
        yield from _bundle_checks(_case(volume.arguments, console), stack)


def _bundle_checks(case: Case, stack: ExitStack) -> Iterator[Check]:
    cloud, local = CloudChecks(case), LocalChecks(case, stack)
    yield from cloud.first_checks()
    yield Check(name="keys", look=local.keys)
    needs = () if case.arguments.ec2_cert else ("region",)
    yield Check(name="ec2-key", look=local.ec2_key, needs=needs)
    yield Check(name="compressor", look=local.compressor)
    if case.task is Task.PUBLISH:
        if case.arguments.name:
            yield Check(name="registration", look=local.registration)
        yield from BucketChecks(case, cloud).checks()
        if case.arguments.name:
            yield from cloud.last_checks()


def _case(arguments: argparse.Namespace, console: Console) -> Case:
    """The same options in the words of doctor's other tasks."""
    words = {
        "bundle_name": arguments.name,
        "name": arguments.ami_name or None,
        "directory": arguments.destination,
        "no_resume": True,  # a volume changes: no run goes on with another's parts
    }
    location = arguments.location
    return Case(
        task=Task.PUBLISH if location else Task.BUNDLE,
        arguments=argparse.Namespace(**{**vars(arguments), **words}),
        console=console,
        image=None,
        location=ImageLocation.parse(location) if location else None,
    )
