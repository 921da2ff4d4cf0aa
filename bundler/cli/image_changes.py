"""Changes of one AMI that may be made twice, for the commands that make them."""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from bundler.aws.ec2_api import Ec2Api
from bundler.aws.images import find_image
from bundler.aws.session import Cloud
from bundler.cli.cloud import api_of
from bundler.cli.console import Console, Result
from bundler.cli.image_lookup import open_image
from bundler.cli.options import add_cloud_options, add_dry_run_option
from bundler.cli.plan import Step, show_plan
from bundler.errors import AwsRefusedError, TransferError
from bundler.model.described_image import DescribedImage
from bundler.model.ec2_call import Ec2Call

_TAG_OPERATIONS = ("CreateTags", "DeleteTags")
"""Operations that take resources of any kind."""


def add_change_options(parser: argparse.ArgumentParser) -> None:
    """The AMI, --dry-run, and AWS."""
    parser.add_argument("image_id", metavar="ID")
    add_dry_run_option(parser)
    add_cloud_options(parser)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageChange:
    """Changes of one AMI that EC2 knows: what is to be called, one after another."""

    cloud: Cloud
    api: Ec2Api
    image: DescribedImage
    """Before the change."""
    is_dry_run: bool

    def call(self, operation: str, **parameters: object) -> Ec2Call:
        """A call about the AMI."""
        image_id = self.image.image_id
        subject: dict[str, object] = {"ImageId": image_id}
        if operation in _TAG_OPERATIONS:
            subject = {"Resources": [image_id]}
        return Ec2Call(
            operation=operation,
            region=self.api.region,
            parameters={**subject, **parameters},
        )

    def run(
        self,
        calls: Sequence[Ec2Call],
        subject: str,
        console: Console,
        *,
        is_done: Callable[[DescribedImage], bool] | None = None,
        facts: Mapping[str, object] | None = None,
    ) -> Result:
        """Do the calls, or show them and ask EC2; the result is the AMI's id, or the plan.

        `is_done` tells of an AMI that needs no change: EC2 may refuse to make it twice.

        Raises:
            AwsRefusedError: EC2 refuses, or would.
            TransferError: EC2 could not be reached.
        """
        told = {"image_id": self.image.image_id, "region": self.api.region, **(facts or {})}
        if is_done and is_done(self.image):
            console.note(f"{subject}: it is so already; nothing is changed")
            more = {"dry_run": self.is_dry_run, "calls": []}
            return Result(text=self.image.image_id, facts={**told, **more})
        if self.is_dry_run:
            steps = [Step(call=call, api=self.api, subject=subject) for call in calls]
            with self.explained():
                return show_plan(steps, console, **told)
        words = [self._send(call, subject, is_done) for call in calls]
        more = {"dry_run": False, "calls": [call.facts() for call in calls], "replies": words}
        return Result(text=self.image.image_id, facts={**told, **more})

    def _send(
        self, call: Ec2Call, subject: str, is_done: Callable[[DescribedImage], bool] | None
    ) -> str:
        try:
            with self.explained():
                return str(self.api.send(call, subject).get("Return", ""))
        except AwsRefusedError:
            # A request whose reply was lost has been sent again.
            with suppress(AwsRefusedError, TransferError):
                image = find_image(self.api, self.image.image_id) if is_done else None
                if is_done and image and is_done(image):
                    return ""
            raise

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Name the owner when EC2 refuses credentials that it has just taken for another call.

        Raises:
            AwsRefusedError: what EC2 refused, with the owner as the remedy.
        """
        try:
            yield
        except AwsRefusedError as error:
            if error.code != "AuthFailure":
                raise
            words = str(error).partition(f" ({error.code})")[0]
            owner = self.image.owner or "another account"
            raise AwsRefusedError(
                f"{words} ({error.code}); only the AMI's owner may, which is {owner}",
                code=error.code,
            ) from error


def open_change(arguments: argparse.Namespace) -> ImageChange:
    """The AMI that is to be changed.

    Raises:
        UsageError: AWS's configuration is wrong.
        AwsRefusedError: EC2 knows no such AMI, or refused.
        TransferError: EC2 could not be reached.
    """
    cloud, image = open_image(arguments)
    return ImageChange(cloud=cloud, api=api_of(cloud), image=image, is_dry_run=arguments.dry_run)
