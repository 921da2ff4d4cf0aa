"""Plans: the calls to EC2 that a command would make, shown, and asked about with DryRun."""

from collections.abc import Sequence
from dataclasses import dataclass

from bundler.aws.ec2_api import Ec2Api
from bundler.cli.console import Console, Result, printable
from bundler.errors import BundlerError
from bundler.model.ec2_call import Ec2Call


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call of a plan."""

    call: Ec2Call
    api: Ec2Api | None
    """Who can be asked about it; None when it needs what earlier steps make."""
    subject: str = ""
    """What it does, for messages; empty: what the operation's name says."""


def show_plan(steps: Sequence[Step], console: Console, **facts: object) -> Result:
    """Ask EC2 what would become of each step, as far as it can tell, and show them all.

    Raises:
        BundlerError: the error that one of them would be.
    """
    lines = [printable(step.call.describe()) for step in steps]
    try:
        ask_all(steps)
    except BundlerError:
        for line in lines:
            console.note(line)
        raise
    calls = [{**step.call.facts(), "asked": step.api is not None} for step in steps]
    if any(step.api is None for step in steps):
        console.note("EC2 can be asked only about calls that need nothing that the others make")
    return Result(text="\n".join(lines), facts={"dry_run": True, "calls": calls, **facts})


def ask_all(steps: Sequence[Step]) -> None:
    """Ask EC2 about each step, with DryRun.

    Raises:
        AwsRefusedError: the error that one of them would be.
        TransferError: EC2 could not be reached.
    """
    for step in steps:
        if step.api is not None:
            step.api.dry_run(step.call, f"would {step.subject or step.call.operation}")
