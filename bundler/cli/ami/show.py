"""ami-bundler ami show."""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence

from bundler.cli.cloud import api_of
from bundler.cli.console import Console, Result, printable
from bundler.cli.image_bundle import bundle_facts, bundle_of, describe_bundle
from bundler.cli.image_lookup import find_permissions, open_image, permission_facts
from bundler.cli.ls import parse_price
from bundler.cli.options import add_cloud_options, add_transfer_options
from bundler.cli.query import add_query_option, answer_query, compile_query
from bundler.model.described_image import DescribedImage
from bundler.model.listed import STANDARD_PRICE
from bundler.model.permission import LaunchPermission

_FIRST = (
    "ImageId",
    "Name",
    "Description",
    "State",
    "CreationDate",
    "OwnerId",
    "Public",
    "Architecture",
    "VirtualizationType",
    "RootDeviceType",
    "RootDeviceName",
    "ImageLocation",
)
"""What is shown first, in this order; then all else that EC2 tells."""

_LISTS = ("BlockDeviceMappings", "Tags")
"""What is shown with a line for each."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("image_id", metavar="ID")
    parser.add_argument(
        "--no-bundle", action="store_true", help="do not look in S3 for an S3-backed AMI's bundle"
    )
    parser.add_argument(
        "--price",
        default="",
        metavar="USD",
        help=f"of a GB-month (default: {STANDARD_PRICE}, S3 Standard in us-east-1)",
    )
    add_query_option(parser, "Images[0].Name")
    add_transfer_options(parser)
    add_cloud_options(parser)


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """Show an AMI."""
    price = parse_price(arguments.price) if arguments.price else None
    query = compile_query(arguments.query)
    cloud, image = open_image(arguments)
    permissions, reason = find_permissions(api_of(cloud), image.image_id)
    facts: dict[str, object] = {
        "region": cloud.region,
        "Images": [image.facts],
        "launch_permissions": permission_facts(permissions),
        "launch_permissions_hidden_because": reason,
        "bundle": None,
    }
    lines = [*_image_lines(image), *_permission_lines(permissions, reason)]
    if image.is_s3_backed and not arguments.no_bundle:
        bundle = bundle_of(cloud, image, console)
        facts["bundle"] = bundle_facts(bundle, price)
        lines += describe_bundle(bundle, price)
    if query:
        return answer_query(query, arguments.query, facts)
    width = max(len(name) for name, _ in lines)
    text = "\n".join(printable(f"{name:<{width}}  {words}").rstrip() for name, words in lines)
    return Result(text=text, facts=facts)


def _permission_lines(
    permissions: Sequence[LaunchPermission] | None, reason: str
) -> Iterator[tuple[str, str]]:
    if permissions is None:
        yield "launch permissions", f"hidden: {reason}"
    elif not permissions:
        yield "launch permissions", "none: its owner alone"
    else:
        yield from (("launch permissions", one.describe()) for one in permissions)


def _image_lines(image: DescribedImage) -> Iterator[tuple[str, str]]:
    names = [name for name in _FIRST if name in image.facts]
    names += [name for name in image.facts if name not in (*names, *_LISTS)]
    for name in names:
        words = "" if image.facts[name] == [] else _words(image.facts[name])
        if not words:
            continue
        if name == "RootDeviceType" and image.is_s3_backed:
            words += " (S3-backed)"
        yield name, words
    yield from (
        ("BlockDeviceMapping", _mapping(one)) for one in _items(image, "BlockDeviceMappings")
    )
    yield from (("Tag", f"{one.get('Key')}={one.get('Value')}") for one in _items(image, "Tags"))


def _items(image: DescribedImage, name: str) -> list[Mapping[str, object]]:
    found = image.facts.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _mapping(mapping: Mapping[str, object]) -> str:
    """Such as ``/dev/sdb ephemeral0`` or ``/dev/xvda SnapshotId=snap-1 VolumeSize=8``."""
    volume = mapping.get("Ebs")
    words = [str(mapping.get("DeviceName", "?")), str(mapping.get("VirtualName", ""))]
    if isinstance(volume, dict):
        words += [f"{name}={_words(value)}" for name, value in volume.items()]
    words += ["(no device)"] if "NoDevice" in mapping else []
    return " ".join(word for word in words if word)


def _words(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
