"""Options of the commands that make bundles: keys, and what the bundle shall be."""

import argparse
import logging
import os
from contextlib import suppress
from pathlib import Path

from bundler.cli.console import Console
from bundler.cli.options import (
    add_passphrase_option,
    choice,
    parse_path,
    parse_size,
    passphrase,
    path_option,
)
from bundler.errors import UsageError
from bundler.model.bundle import PART_SIZE, CompressionLevel
from bundler.model.image import Architecture, ImageType
from bundler.model.mapping import BlockDeviceMapping
from bundler.workflow.bundle_image import BundleKeys, BundleSpec
from bundler.workflow.bundle_source import BundleSource
from bundler.workflow.detect_architecture import detect_architecture
from bundler.workflow.image_contents import find_format
from bundler.workflow.keys import load_bundle_keys
from bundler.workflow.local_checks import check_raw

DEFAULT_ARCHITECTURE = Architecture.X86_64
"""What an image is taken for when neither the user nor the image says."""

PRODUCT_CODES_WARNING = "EC2 was reported to refuse manifests with product codes"
"""What is said of a bundle that has some."""

_logger = logging.getLogger(__name__)


def add_key_options(parser: argparse.ArgumentParser) -> None:
    """The keys that a bundle needs."""
    group = parser.add_argument_group("keys")
    group.add_argument(
        "--key",
        "-k",
        type=parse_path,
        metavar="PEM",
        help="your private key (default: EC2_PRIVATE_KEY)",
    )
    group.add_argument(
        "--cert", "-c", type=parse_path, metavar="PEM", help="your certificate (default: EC2_CERT)"
    )
    group.add_argument(
        "--ec2-cert",
        type=parse_path,
        metavar="PEM",
        help="EC2's certificate (default: built in, by the region's partition)",
    )
    add_passphrase_option(parser)


def bundle_keys(arguments: argparse.Namespace, console: Console) -> BundleKeys:
    """Read the keys that the options name."""
    key = path_option(arguments, "key", "EC2_PRIVATE_KEY")
    certificate = path_option(arguments, "cert", "EC2_CERT")
    return load_bundle_keys(
        key,
        certificate,
        arguments.ec2_cert,
        _partition(arguments, console),
        passphrase(arguments, console, key),
    )


def _partition(arguments: argparse.Namespace, console: Console) -> str:
    """The partition whose EC2 will open the bundle."""
    if arguments.ec2_cert:
        return "aws"
    if arguments.endpoint_url:
        console.warn("no --ec2-cert: only AWS's own EC2 opens the bundle, no private cloud")
    settings = ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_CONFIG_FILE")
    is_configured = any(os.environ.get(name) for name in settings)
    if not (arguments.region or arguments.profile or is_configured):
        with suppress(RuntimeError, OSError):  # no home directory
            is_configured = (Path.home() / ".aws/config").exists()
        if not is_configured:
            _logger.info("no region is named: the bundle will be for EC2 of partition aws")
            return "aws"
    from bundler.cli.cloud import find_partition  # slow to import

    return find_partition(arguments)


def find_account(arguments: argparse.Namespace) -> str:
    """The account given, hyphens removed, or else the one of the AWS credentials."""
    if arguments.account is not None:
        return str(arguments.account).replace("-", "")
    from bundler.cli import cloud  # slow to import

    return cloud.find_account(arguments)


def add_bundle_options(parser: argparse.ArgumentParser) -> None:
    """What the bundle shall be."""
    group = parser.add_argument_group("bundle")
    group.add_argument(
        "--account",
        "-u",
        metavar="ID",
        help="AWS account, 12 digits (default: asked of AWS STS)",
    )
    group.add_argument(
        "--arch",
        "-r",
        default="",
        help="i386, x86_64 or arm64 (default: what /sbin/init in the image is, else x86_64)",
    )
    group.add_argument("--type", default="machine", help="machine (default), kernel or ramdisk")
    group.add_argument(
        "--level",
        default="balanced",
        help="fast: 40 times as fast as gzip -9, 7 to 12%% larger than gzip -6; balanced "
        "(default): 16 times as fast, as small; small: 4%% smaller, as slow as gzip -9",
    )
    group.add_argument(
        "--block-device-mapping",
        "-B",
        action="append",
        default=[],
        metavar="VIRTUAL=DEVICE,...",
        help="such as ami=sda1,root=/dev/sda1,ephemeral0=sdb; may be repeated",
    )
    group.add_argument("--kernel", default="", metavar="AKI", help="kernel id (paravirtual only)")
    group.add_argument("--ramdisk", default="", metavar="ARI", help="ramdisk id")
    group.add_argument("--product-code", action="append", default=[], metavar="CODE")
    group.add_argument("--ancestor", action="append", default=[], metavar="AMI")
    group.add_argument(
        "--part-size",
        default=str(PART_SIZE),
        metavar="SIZE",
        help="bytes of a part, or such as 5M (default: 10M, as EC2's own tools make them)",
    )
    group.add_argument(
        "--dig-holes",
        action="store_true",
        help="read the image first and make its runs of zeros holes",
    )
    group.add_argument(
        "--allow-large",
        action="store_true",
        help="take images over 10 GiB, EC2's limit; for private clouds",
    )


def bundle_spec(
    arguments: argparse.Namespace,
    source: BundleSource | None,
    name: str,
    account: str,
    console: Console,
) -> BundleSpec:
    """The bundle that the options describe; without a `source` the architecture may be wrong.

    Raises:
        UsageError: an argument that no bundle can have.
    """
    if arguments.product_code:
        console.warn(PRODUCT_CODES_WARNING)
    mappings = [
        BlockDeviceMapping.parse(text)
        for option in arguments.block_device_mapping
        for text in option.split(",")
    ]
    if len({mapping.virtual for mapping in mappings}) != len(mappings):
        raise UsageError("block device mapping: a virtual name is given twice")
    return BundleSpec(
        name=name,
        account=account,
        architecture=_architecture(arguments, source),
        image_type=choice("--type", arguments.type, ImageType),
        block_device_mappings=tuple(mappings),
        kernel_id=arguments.kernel,
        ramdisk_id=arguments.ramdisk,
        product_codes=tuple(arguments.product_code),
        ancestor_ami_ids=tuple(arguments.ancestor),
        part_size=parse_size(arguments.part_size, "--part-size"),
        level=choice("--level", arguments.level, CompressionLevel),
    )


def check_format(arguments: argparse.Namespace, source: BundleSource) -> None:
    """Refuse a machine's image that is no raw one.

    Raises:
        InputError: such as a qcow2 file.
        HostError, AwsRefusedError, TransferError: it cannot be read.
    """
    if arguments.type == ImageType.MACHINE:
        check_raw(find_format(source), source.label)


def _architecture(arguments: argparse.Namespace, source: BundleSource | None) -> Architecture:
    if arguments.arch:
        return choice("--arch", arguments.arch, Architecture)
    if source is None:
        return DEFAULT_ARCHITECTURE
    detected = detect_architecture(source)
    _logger.info("architecture: %s", detected or f"not found in the image: {DEFAULT_ARCHITECTURE}")
    return detected or DEFAULT_ARCHITECTURE
