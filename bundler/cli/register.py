"""ami-bundler register."""

import argparse
import time
from shlex import quote

from bundler.cli.cloud import registry_of
from bundler.cli.console import Console, Result
from bundler.cli.options import add_cloud_options, choice
from bundler.cli.stored import StoredBundle, open_stored
from bundler.model.image import Architecture, VirtualizationType
from bundler.model.registration import Registration
from bundler.workflow.ports import ImageRegistry
from bundler.workflow.register import register_image


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("location", metavar="s3://BUCKET/KEY.manifest.xml")
    add_registration_options(parser)
    parser.add_argument("--arch", "-r", default="", help="default: the manifest's")
    parser.add_argument("--kernel", default="", metavar="AKI", help="kernel id (paravirtual only)")
    parser.add_argument("--ramdisk", default="", metavar="ARI", help="ramdisk id")
    add_cloud_options(parser)


def add_registration_options(
    parser: argparse.ArgumentParser, *, is_name_required: bool = True
) -> None:
    """What the AMI shall be."""
    parser.add_argument("--name", required=is_name_required, metavar="NAME", help="of the AMI")
    parser.add_argument("--description", default="", metavar="TEXT", help="of the AMI")
    parser.add_argument("--virtualization-type", default="hvm", help="hvm (default) or paravirtual")


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
    return Registration(
        location=bundle.location,
        name=arguments.name,
        description=arguments.description,
        architecture=choice("--arch", arguments.arch or signed.manifest.architecture, Architecture),
        virtualization_type=virtualization_type,
        kernel_id=arguments.kernel,
        ramdisk_id=arguments.ramdisk,
    )


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
