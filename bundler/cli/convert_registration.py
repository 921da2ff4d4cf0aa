"""What the AMI shall be that convert registers."""

import argparse

from bundler.cli.convert_source import ConvertSource
from bundler.cli.options import add_tag_option, choice
from bundler.model.ebs_registration import EbsRegistration
from bundler.model.image import Architecture, VirtualizationType
from bundler.model.mapping import BlockDeviceMapping

ROOT_DEVICE_NAME = "/dev/sda1"
"""Where the root volume is when nobody tells.  Source: EC2 user guide, device names."""


def add_ami_arguments(parser: argparse.ArgumentParser) -> None:
    """What the new AMI shall be."""
    parser.add_argument(
        "--name", default="", metavar="NAME", help="of the new AMI; required but with --to"
    )
    parser.add_argument(
        "--description", default="", metavar="TEXT", help="of the AMI (default: the old AMI's)"
    )
    parser.add_argument(
        "--arch", "-r", default="", help="default: the old AMI's, or the manifest's"
    )
    parser.add_argument("--virtualization-type", default="", help="default: the old AMI's, or hvm")
    parser.add_argument("--kernel", default="", metavar="AKI", help="kernel id (paravirtual only)")
    parser.add_argument("--ramdisk", default="", metavar="ARI", help="ramdisk id")
    parser.add_argument(
        "--root-device-name",
        default="",
        metavar="DEVICE",
        help=f"default: the old AMI's, or the manifest's, or {ROOT_DEVICE_NAME}",
    )
    add_tag_option(parser, "the AMI and its snapshot")


def new_registration(
    arguments: argparse.Namespace, source: ConvertSource, wanted: dict[str, str]
) -> EbsRegistration:
    """The new AMI: what the options say, else what the old one is, else the manifest.

    `wanted` are the tags that the options name.

    Raises:
        UsageError: EC2 would not take it.
    """
    manifest, ami = source.manifest, source.ami
    kind = choice(
        "--virtualization-type",
        arguments.virtualization_type or (ami.virtualization_type if ami else "") or "hvm",
        VirtualizationType,
    )
    is_paravirtual = kind is VirtualizationType.PARAVIRTUAL
    kernel, ramdisk = arguments.kernel, arguments.ramdisk
    if is_paravirtual:
        kernel = kernel or (ami.kernel_id if ami else "") or manifest.kernel_id
        ramdisk = ramdisk or (ami.ramdisk_id if ami else "") or manifest.ramdisk_id
    told = {mapping.virtual: mapping.device for mapping in manifest.block_device_mappings}
    ephemeral = tuple(
        BlockDeviceMapping(virtual=virtual, device=_device(device))
        for virtual, device in told.items()
        if virtual.startswith("ephemeral")
    )
    if ami:
        ephemeral = tuple(
            BlockDeviceMapping(virtual=one.virtual, device=one.device)
            for one in ami.mappings
            if one.virtual
        )
    arch = arguments.arch or (ami.architecture if ami else "") or manifest.architecture
    root = (ami.root_device_name if ami else "") or told.get("root", "")
    return EbsRegistration(
        name=arguments.name,
        description=arguments.description or (ami.description if ami else ""),
        architecture=choice("--arch", arch, Architecture),
        virtualization_type=kind,
        kernel_id=kernel,
        ramdisk_id=ramdisk,
        root_device_name=_device(arguments.root_device_name or root or ROOT_DEVICE_NAME),
        ephemeral_mappings=ephemeral,
        is_ena_supported=ami is not None and ami.has_ena and not is_paravirtual,
        needs_imds_v2=ami is not None and ami.needs_imds_v2,
        tags=tuple((dict(ami.given_tags if ami else ()) | wanted).items()),
    )


def _device(name: str) -> str:
    """A device as RegisterImage wants it; manifests may leave out the directory."""
    return name if name.startswith("/dev/") else f"/dev/{name}"
