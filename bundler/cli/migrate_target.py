"""Where migrate takes a bundle: its own options, and what they mean."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from bundler.aws.session import Cloud, partition
from bundler.cli.cloud import transport_settings
from bundler.cli.options import is_url, path_option
from bundler.cli.stored import StoredBundle
from bundler.cli.upload import parse_destination
from bundler.errors import UsageError
from bundler.host.files import check_absent, check_directory
from bundler.model.image import ImageLocation


def add_target_options(parser: argparse.ArgumentParser) -> None:
    """Where the bundle goes, what its manifest says there, and how it gets there."""
    group = parser.add_argument_group("destination")
    group.add_argument("--to-region", default="", metavar="REGION", help="default: the source's")
    group.add_argument("--to-profile", metavar="PROFILE", help="default: the source's")
    group.add_argument(
        "--to-endpoint-url",
        metavar="URL",
        help="default: the source's; an empty one is AWS itself",
    )
    group.add_argument(
        "--kernel",
        default="",
        metavar="AKI|keep|drop",
        help="what becomes of the kernel id; needed if there is one and the region changes",
    )
    group.add_argument(
        "--ramdisk", default="", metavar="ARI|keep|drop", help="the same for the ramdisk id"
    )
    group.add_argument(
        "--stream",
        action="store_true",
        help="read each part, verify it and send it on, where S3 itself could copy it: that is "
        "within one endpoint and partition, by the same profile",
    )
    group.add_argument(
        "--manifest-only",
        action="store_true",
        help="only write the new manifest: the arguments are then the old one, a file or "
        "s3://BUCKET/KEY, and the file to write; needs --to-region or --ec2-cert",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a bundle goes."""

    cloud: Cloud
    location: ImageLocation
    """The prefix."""
    partition: str
    """Empty: of no AWS partition that is known."""
    is_same_region: bool
    """As the source's."""
    takes_copies: bool
    """Whether S3 can copy there from the source: one S3, and the same credentials."""


def open_target(arguments: argparse.Namespace, source: StoredBundle) -> Target:
    """The destination that the options name; what they leave out is as the source's.

    Raises:
        UsageError: no prefix in S3, the very place of the source, or wrong configuration.
    """
    location = parse_destination(arguments.destination, arguments.command)
    profile, endpoint_url = arguments.to_profile, arguments.to_endpoint_url
    profile = arguments.profile if profile is None else profile
    endpoint_url = arguments.endpoint_url if endpoint_url is None else endpoint_url
    region = arguments.to_region or source.cloud.region
    is_same_profile = profile == arguments.profile
    is_same_service = endpoint_url == source.cloud.endpoint_url and (
        partition_of(region) == partition_of(source.cloud.region)
    )
    is_same_region = is_same_service and region == source.cloud.region
    if is_same_service and location.join(source.file_name) == source.location:
        raise UsageError(
            f"migrate to {location.url}: the bundle is there, and EC2 may have it registered; "
            "--manifest-only writes the new manifest alone to a file"
        )
    cloud = source.cloud
    if not (is_same_region and is_same_profile):
        cloud = Cloud.open(
            region=region,
            profile=profile,
            endpoint_url=endpoint_url,
            settings=transport_settings(arguments),
        )
    return Target(
        cloud=cloud,
        location=location,
        partition=partition_of(region),
        is_same_region=is_same_region,
        takes_copies=is_same_service and is_same_profile,
    )


def partition_of(region: str) -> str:
    """A region's partition; empty for those of private clouds."""
    try:
        return partition(region) if region else ""
    except UsageError:
        return ""


def check_manifest_only(arguments: argparse.Namespace) -> None:
    """Refuse what --manifest-only cannot mean.

    Raises:
        UsageError: an option for what is sent, or none that says for whom the key is wrapped.
    """
    for name in ("stream", "to_profile", "to_endpoint_url", "enable_acls", "bucket_tag"):
        if getattr(arguments, name) not in (None, False, []):
            option = name.replace("_", "-")
            raise UsageError(f"migrate --manifest-only: --{option} is for bundles that are sent")
    if not (arguments.to_region or arguments.ec2_cert):
        raise UsageError("migrate --manifest-only: expected --to-region or --ec2-cert, got neither")


def check_output(arguments: argparse.Namespace, source: Path | None) -> Path:
    """The file to write; `source` is the manifest that is read, if it is a file.

    Raises:
        UsageError: it is none, or one of the inputs: even --force replaces no input.
        ExistsError: it is there and `--force` is not given.
        MissingError, InputError, HostError: its directory cannot be used.
    """
    if is_url(arguments.destination):
        raise UsageError(
            f"migrate --manifest-only {arguments.destination}: expected a file to write"
        )
    output = Path(arguments.destination)
    key = path_option(arguments, "key", "EC2_PRIVATE_KEY")
    certificate = path_option(arguments, "cert", "EC2_CERT")
    for path in (source, key, certificate, arguments.ec2_cert):
        if path is not None and path.resolve() == output.resolve():
            raise UsageError(f"write {output}: this is one of the inputs")
    check_directory(output.parent)
    check_absent(output, force=arguments.force)
    return output
