"""What a bundle inherits from the instance that makes it."""

import argparse
import os
from pathlib import Path

from bundler.aws.metadata import read_instance_metadata
from bundler.aws.metadata_endpoint import (
    DISABLED,
    MetadataEndpoint,
    MetadataPatience,
    is_disabled,
)
from bundler.cli.bundle_source import with_defaults
from bundler.cli.console import Console
from bundler.errors import UsageError
from bundler.host.instance import SYS, is_ec2_instance
from bundler.model.image import VirtualizationType
from bundler.model.instance_metadata import InstanceMetadata

_NAMES = {
    "arch": "architecture",
    "account": "account",
    "region": "region",
    "kernel": "kernel",
    "ramdisk": "ramdisk",
    "product_code": "product codes",
    "ancestor": "ancestors",
    "block_device_mapping": "block device mapping",
}
"""Options that are filled, and what people are told of them."""

_OTHER_CREDENTIALS = ("AWS_PROFILE", "AWS_ACCESS_KEY_ID")
"""Variables that name credentials, which may be another account's than the instance's."""


def add_inherit_option(parser: argparse.ArgumentParser) -> None:
    """--inherit, --no-inherit; None, if neither is given: on an EC2 instance."""
    parser.add_argument(
        "--inherit",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="take from instance metadata (IMDSv2 only) what no option says: ancestors, kernel, "
        "ramdisk, product codes, block device mapping, region, account and architecture; "
        "--inherit asks also where nothing shows an EC2 instance (default: on EC2)",
    )


def inherit(
    arguments: argparse.Namespace,
    console: Console,
    *,
    sys: Path = SYS,
    patience: MetadataPatience | None = None,
) -> argparse.Namespace:
    """Arguments, with what the instance is told where they say nothing; tells what that was.

    Elsewhere than on EC2 they stay as they are, and nothing is said.  `sys` is where the kernel
    shows what the machine is.

    Raises:
        UsageError: the environment names a server that cannot be, or forbids what is asked for.
        AwsRefusedError: metadata are switched off, or the server knows no IMDSv2.
        TransferError: the server is absent or silent, or no answer of it can be one.
    """
    endpoint = find_endpoint(arguments, sys)
    if endpoint is None:
        return arguments
    metadata = read_instance_metadata(endpoint, patience)
    filled = _fill(arguments, metadata)
    given, found = vars(arguments), vars(filled)
    words = [
        f"{words} {_spell(found[name])}"
        for name, words in _NAMES.items()
        if name in given and found[name] != given[name]
    ]
    if words:
        console.note(f"inherited from instance {metadata.instance_id}: {', '.join(words)}")
    return filled


def find_endpoint(arguments: argparse.Namespace, sys: Path = SYS) -> MetadataEndpoint | None:
    """Whom to ask for instance metadata; None: nobody.  See inherit()."""
    if arguments.inherit is False:
        return None
    is_wanted = arguments.inherit is True
    if is_disabled(os.environ):
        if is_wanted:
            raise UsageError(f"--inherit: {DISABLED}=true forbids to ask; unset it")
        return None
    endpoint = MetadataEndpoint.from_environment(os.environ)
    is_expected = is_wanted or endpoint.is_given or is_ec2_instance(sys)
    return endpoint if is_expected else None


def _fill(arguments: argparse.Namespace, metadata: InstanceMetadata) -> argparse.Namespace:
    # Only paravirtual instances have a kernel of EC2's.
    is_paravirtual = bool(metadata.kernel_id)
    kind = VirtualizationType.PARAVIRTUAL if is_paravirtual else VirtualizationType.HVM
    filled = with_defaults(
        arguments,
        virtualization_type=kind.value,
        arch=metadata.architecture.value if metadata.architecture else "",
        account=(metadata.account if _is_own_account(arguments) else "") or None,
        product_code=list(metadata.product_codes),
        ancestor=list(metadata.ancestry),
        block_device_mapping=[
            f"{mapping.virtual}={mapping.device}" for mapping in metadata.block_device_mappings
        ],
    )
    if metadata.region and not arguments.region and not _configured_region(arguments):
        filled = with_defaults(filled, region=metadata.region)
    if vars(filled).get("virtualization_type", kind) == VirtualizationType.HVM:
        return filled  # so it was asked for: EC2 refuses it with a kernel
    if arguments.kernel:
        return filled  # a ramdisk is its kernel's
    return with_defaults(filled, kernel=metadata.kernel_id, ramdisk=metadata.ramdisk_id)


def _is_own_account(arguments: argparse.Namespace) -> bool:
    """Whether no other credentials are named: a bundle is its registrant's, whom STS knows."""
    return not (arguments.profile or any(os.environ.get(name) for name in _OTHER_CREDENTIALS))


def _configured_region(arguments: argparse.Namespace) -> str:
    """The region that environment and profile name, which are the user's own words as well."""
    from bundler.aws.session import configured_region  # slow to import

    return configured_region(arguments.profile)


def _spell(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
