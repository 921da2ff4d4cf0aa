"""ami-bundler register."""

import argparse
import time
from dataclasses import replace
from shlex import quote

from bundler.cli.cloud import registry_of
from bundler.cli.console import Console, Result
from bundler.cli.options import add_cloud_options, add_tag_option, choice
from bundler.cli.stored import StoredBundle, open_stored
from bundler.model.image import Architecture, VirtualizationType
from bundler.model.registration import BootMode, Registration
from bundler.model.resource_tag import parse_tags
from bundler.workflow.ports import ImageRegistry
from bundler.workflow.register import register_image


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("location", metavar="s3://BUCKET/KEY.manifest.xml")
    add_registration_options(parser)
    add_manifest_options(parser)
    add_attribute_options(parser)
    add_cloud_options(parser)


def add_registration_options(
    parser: argparse.ArgumentParser, *, is_name_required: bool = True
) -> None:
    """What the AMI shall be."""
    parser.add_argument("--name", required=is_name_required, metavar="NAME", help="of the AMI")
    parser.add_argument("--description", default="", metavar="TEXT", help="of the AMI")
    parser.add_argument("--virtualization-type", default="hvm", help="hvm (default) or paravirtual")


def add_manifest_options(parser: argparse.ArgumentParser) -> None:
    """What the manifest may tell as well."""
    parser.add_argument(
        "--arch", "-r", "--architecture", default="", help="default: the manifest's"
    )
    parser.add_argument(
        "--kernel", "--kernel-id", default="", metavar="AKI", help="paravirtual only"
    )
    parser.add_argument(
        "--ramdisk", "--ramdisk-id", default="", metavar="ARI", help="paravirtual only"
    )


def add_attribute_options(parser: argparse.ArgumentParser) -> None:
    """What else EC2 is told of an AMI; no bundle says it."""
    parser.add_argument(
        "--root-device-name", default="", metavar="DEVICE", help="such as /dev/sda1"
    )
    parser.add_argument("--sriov-net-support", choices=("simple",), help="hvm only")
    parser.add_argument("--ena-support", action="store_true", help="hvm only")
    parser.add_argument("--boot-mode", default="", help="legacy-bios, uefi or uefi-preferred")
    parser.add_argument(
        "--imds-support", choices=("v2.0",), help="instances answer requests with a token only"
    )
    add_tag_option(parser, "the AMI")


def add_attributes(arguments: argparse.Namespace, registration: Registration) -> Registration:
    """The registration with what add_attribute_options() declares.

    Raises:
        UsageError: one is wrong, or does not fit the AMI.
    """
    mode = choice("--boot-mode", arguments.boot_mode, BootMode) if arguments.boot_mode else None
    return replace(
        registration,
        root_device_name=arguments.root_device_name,
        has_sriov=bool(arguments.sriov_net_support),
        has_ena=arguments.ena_support,
        boot_mode=mode,
        needs_imds_v2=bool(arguments.imds_support),
        tags=parse_tags(arguments.tag),
    )


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """Register an AMI."""
    bundle = open_stored(arguments, arguments.location)
    registration = registration_of(arguments, bundle)
    return register(registry_of(bundle.cloud), registration, console)


def registration_of(arguments: argparse.Namespace, bundle: StoredBundle) -> Registration:
    """What the options ask for; the manifest is read for the rest, and must be there.

    Raises:
        UsageError: an option is wrong.
        AwsRefusedError, TransferError, ManifestError: the manifest cannot be read.
    """
    virtualization_type = choice(
        "--virtualization-type", arguments.virtualization_type, VirtualizationType
    )
    # Reading the manifest tells its architecture, and that it is there at all.
    signed = bundle.fetch()
    registration = Registration(
        location=bundle.location,
        name=arguments.name,
        description=arguments.description,
        architecture=choice("--arch", arguments.arch or signed.manifest.architecture, Architecture),
        virtualization_type=virtualization_type,
        kernel_id=arguments.kernel,
        ramdisk_id=arguments.ramdisk,
    )
    return add_attributes(arguments, registration)


def register(registry: ImageRegistry, registration: Registration, console: Console) -> Result:
    """Register and wait; the AMI id alone is the result."""
    console.note(f"registering {registration.location.url} as {registration.name!r}")
    ami = register_image(registry, registration, sleep=time.sleep, clock=time.monotonic)
    return Result(
        text=ami.image_id,
        facts={
            "image_id": ami.image_id,
            "name": ami.name,
            "state": ami.state.value,
            "manifest": registration.location.url,
        },
    )


def register_line(registration: Registration, region: str) -> str:
    """The command that registers an AMI as that registration says."""
    words = ["ami-bundler", "ami", "register", registration.location.url]
    words += ["--name", registration.name, "--region", region]
    words += ["--arch", registration.architecture.value]
    words += ["--virtualization-type", registration.virtualization_type.value]
    for option, value in (
        ("--description", registration.description),
        ("--kernel", registration.kernel_id),
        ("--ramdisk", registration.ramdisk_id),
        ("--root-device-name", registration.root_device_name),
        ("--boot-mode", registration.boot_mode or ""),
        ("--sriov-net-support", "simple" if registration.has_sriov else ""),
        ("--imds-support", "v2.0" if registration.needs_imds_v2 else ""),
    ):
        words += [option, str(value)] if value else []
    words += ["--ena-support"] if registration.has_ena else []
    for mapping in registration.mappings:
        words += ["--block-device-mapping", f"{mapping.virtual}={mapping.device}"]
    for key, value in registration.tags:
        words += ["--tag", f"{key}={value}"]
    return " ".join(map(quote, words))
