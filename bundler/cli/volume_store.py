"""A volume's bundle in S3: parts are sent as they are made, and an AMI is registered."""

import argparse
from dataclasses import dataclass, replace

from bundler.aws.s3 import S3BundleStore
from bundler.aws.session import Cloud
from bundler.cli.cloud import (
    describe_transfer,
    open_cloud,
    open_store,
    prepare_bucket,
    registry_of,
    transfer_facts,
    warn_of_amis,
)
from bundler.cli.console import Console, Result
from bundler.cli.publish import published_registration, register_published
from bundler.cli.register import add_attribute_options
from bundler.cli.upload import parse_destination
from bundler.host.processors import processor_count
from bundler.model.file_name import manifest_name
from bundler.model.image import ImageLocation
from bundler.model.registration import Registration
from bundler.workflow.bundle_image import Bundle, BundleKeys, BundlePlan, BundleSpec
from bundler.workflow.publish import find_taken_name, publish_bundle
from bundler.workflow.publish_state import PublishState
from bundler.workflow.upload import FoundBundle, find_bundle


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreTarget:
    """A prefix in S3, looked at: a bundle of that name may be put there."""

    cloud: Cloud
    store: S3BundleStore
    found: FoundBundle
    location: ImageLocation
    """Of the manifest."""
    registration: Registration | None
    """None: no AMI is wanted."""

    @classmethod
    def open(
        cls, arguments: argparse.Namespace, spec: BundleSpec, console: Console
    ) -> "StoreTarget":
        """Look beforehand at all that could keep the bundle from S3, or the AMI from its name.

        Raises:
            UsageError: an option is wrong.
            ExistsError: there is a bundle of that name, and --force is not given.
            AwsRefusedError: AWS refuses, or another AMI has the name.
            TransferError: AWS cannot be reached.
        """
        location = parse_destination(arguments.location, arguments.command)
        cloud = open_cloud(arguments)
        registration = None
        if arguments.ami_name:
            registration = published_registration(arguments, arguments.ami_name, spec, location)
        if registration:
            find_taken_name(registry_of(cloud), registration, is_ours=False)
        prepare_bucket(arguments, cloud, location, console)
        store = open_store(cloud, location, acl=arguments.acl)
        found = find_bundle(store, spec.name, force=arguments.force)
        warn_of_amis(cloud, location, found, console)
        return cls(
            cloud=cloud,
            store=store,
            found=found,
            location=location.join(manifest_name(spec.name)),
            registration=registration,
        )

    def send(
        self, plan: BundlePlan, spec: BundleSpec, keys: BundleKeys, console: Console
    ) -> Bundle:
        """Make the bundle, and send it meanwhile.

        Raises:
            InputError: the image changed while it was read.
            ExistsError: somebody else has written the bundle meanwhile.
            HostError, AwsRefusedError, TransferError: from reading the image or from S3.
        """
        bundle = publish_bundle(
            lambda: plan,
            spec,
            keys,
            self.store,
            found=self.found,
            state=PublishState(None, {}),
            earlier=None,
            workers=processor_count(),
            progress=console,
        )
        console.note(describe_transfer(self._sent()))
        return bundle

    def finish(self, spec: BundleSpec, console: Console) -> Result:
        """Register the AMI, if one is wanted; what to show: its id, or the manifest's place.

        Raises:
            AwsRefusedError, TransferError: EC2 refuses, or cannot be reached.
        """
        facts: dict[str, object] = {"manifest": self.location.url, **self._sent()}
        if self.registration is None:
            return Result(text=self.location.url, facts=facts)
        registration = replace(self.registration, architecture=spec.architecture)
        result = register_published(registry_of(self.cloud), registration, console)
        return replace(result, facts={**facts, **result.facts, "ami_name": result.facts["name"]})

    def _sent(self) -> dict[str, int]:
        return transfer_facts(self.cloud, done=self.store.sent_count, held=self.store.held_count)


def add_ami_options(parser: argparse.ArgumentParser) -> None:
    """The AMI that is registered, if one is wanted."""
    group = parser.add_argument_group("AMI (with s3://)")
    group.add_argument(
        "--ami-name", default="", metavar="NAME", help="register an AMI of that name, too"
    )
    group.add_argument("--description", default="", metavar="TEXT", help="of the AMI")
    group.add_argument(
        "--virtualization-type",
        default="",
        help="hvm or paravirtual (default: what is inherited, else hvm)",
    )
    add_attribute_options(parser)
