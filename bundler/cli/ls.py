"""ami-bundler ls."""

import argparse
import re
from collections.abc import Iterator, Mapping

from bundler.aws.bucket import S3Bucket
from bundler.aws.session import Cloud
from bundler.cli.cloud import open_cloud, open_store, registry_of
from bundler.cli.console import Console, Result, printable
from bundler.cli.options import add_cloud_options, add_transfer_options
from bundler.cli.table import format_size, format_table
from bundler.errors import AwsRefusedError, TransferError, UsageError
from bundler.model.image import ImageLocation
from bundler.model.listed import STANDARD_PRICE, ListedBundle, monthly_cost
from bundler.workflow.list_bundles import BundleListing, list_bundles
from bundler.workflow.registered import find_registered

Registered = Mapping[str, tuple[str, ...]] | None
"""Ids of AMIs by BUCKET/KEY of their manifests; None when EC2 does not tell them."""

MAX_SHOWN_NAMES = 3
"""Most missing parts that people are shown by name; --json has more."""

_HEAD = ("BUNDLE", "STATE", "SIZE", "PARTS", "AMIS", "USD/MONTH")
_RIGHT = frozenset((2, 3, 5))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "location",
        metavar="s3://BUCKET/[PREFIX]",
        help="all whose keys begin with PREFIX, at any depth: images/web finds "
        "images/web-1.manifest.xml and images/web/x.manifest.xml, images/web/ the latter alone",
    )
    parser.add_argument("--incomplete", action="store_true", help="only what is not complete")
    parser.add_argument("--no-amis", action="store_true", help="do not ask EC2 for AMIs")
    parser.add_argument(
        "--price",
        default="",
        metavar="USD",
        help=f"of a GB-month (default: {STANDARD_PRICE}, S3 Standard in us-east-1, first 50 TB; "
        "without it other storage classes have no known cost)",
    )
    add_transfer_options(parser)
    add_cloud_options(parser)


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """List bundles."""
    location = parse_prefix(arguments.location)
    price = parse_price(arguments.price) if arguments.price else None
    cloud = open_cloud(arguments)
    registered = None if arguments.no_amis else _ask_registered(cloud, location, console)
    store = open_store(cloud, ImageLocation(bucket=location.bucket, key=""))
    listing = list_bundles(store, location.key, only_broken=arguments.incomplete, progress=console)
    if not listing.bundles:
        what = "incomplete bundle" if arguments.incomplete else "bundle"
        console.note(f"no {what} begins with {location.url}")
    if listing.upload_count:
        console.note(
            f"unfinished uploads that begin with {location.url}: {listing.upload_count}; S3 bills "
            "their pieces too"
        )
    bundles = [_facts(bundle, registered, price) for bundle in listing.bundles]
    return Result(
        text="\n".join(_lines(listing, registered, price)),
        facts={
            "location": location.url,
            "bundles": bundles,
            "bundle_count": len(bundles),
            "size": listing.size,
            "usd_per_month": _usd(monthly_cost(listing.size, listing.storage_classes, price)),
            "usd_per_gb_month": STANDARD_PRICE if price is None else price,
            "unfinished_upload_count": listing.upload_count,
        },
    )


def parse_prefix(url: str) -> ImageLocation:
    """Bucket and key prefix; unlike ImageLocation.parse() a slash at the end says something.

    Raises:
        UsageError: no bucket name there.
    """
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    return ImageLocation(bucket=bucket, key=prefix.lstrip("/"))


def parse_price(text: str) -> float:
    """US dollars.

    Raises:
        UsageError: not a number of them.
    """
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text, re.ASCII):
        raise UsageError(f"--price {text!r}: expected US dollars, such as {STANDARD_PRICE}")
    return float(text)


def _ask_registered(cloud: Cloud, location: ImageLocation, console: Console) -> Registered:
    """The AMIs of this account; a refusal is no reason to show nothing."""
    try:
        registered = find_registered(registry_of(cloud))
        # The EC2 of another region tells of none, and that would be believed.
        S3Bucket(cloud.s3(), location.bucket, cloud.transport).check_region()
    except AwsRefusedError as error:
        console.warn(f"which AMIs are registered is not known: {error}")
        return None
    except TransferError as error:
        raise TransferError(f"{error}; --no-amis asks no EC2", code=error.code) from error
    return registered


def _usd(cost: float | None) -> float | None:
    return None if cost is None else round(cost, 6)


def _facts(bundle: ListedBundle, registered: Registered, price: float | None) -> dict[str, object]:
    amis = None if registered is None else list(registered.get(bundle.location.path, ()))
    return {
        "manifest": bundle.location.url,
        "name": bundle.name,
        "state": bundle.state.value,
        "problem": bundle.problem,
        "size": bundle.size,
        "part_count": bundle.part_count,
        "expected_part_count": bundle.expected_part_count,
        "missing_count": bundle.missing_count,
        "missing_parts": list(bundle.missing),
        "stray_part_count": bundle.stray_count,
        "storage_classes": sorted(bundle.storage_classes),
        "amis": amis,
        "usd_per_month": _usd(monthly_cost(bundle.size, bundle.storage_classes, price)),
    }


def _lines(listing: BundleListing, registered: Registered, price: float | None) -> Iterator[str]:
    """The table; below a bundle's row what is wrong with it."""
    if not listing.bundles:
        return
    total = monthly_cost(listing.size, listing.storage_classes, price)
    count = len(listing.bundles)
    last = (f"{count} bundle{'s'[: count != 1]}", "", format_size(listing.size), "", "")
    rows = [_row(bundle, registered, price) for bundle in listing.bundles]
    table = iter(format_table([_HEAD, *rows, (*last, _describe_cost(total))], right=_RIGHT))
    yield next(table)
    for bundle, line in zip(listing.bundles, table, strict=False):
        yield line
        yield from (f"    {printable(words)}" for words in _problems(bundle))
    yield from table


def _row(bundle: ListedBundle, registered: Registered, price: float | None) -> tuple[str, ...]:
    parts = str(bundle.part_count)
    if bundle.missing_count:
        parts = f"{parts}/{bundle.expected_part_count}"
    amis = ("?",) if registered is None else registered.get(bundle.location.path, ("-",))
    cost = monthly_cost(bundle.size, bundle.storage_classes, price)
    return (
        bundle.location.url,
        bundle.state.value,
        format_size(bundle.size),
        parts,
        " ".join(amis),
        _describe_cost(cost),
    )


def _describe_cost(cost: float | None) -> str:
    if cost is None:
        return "unknown"
    return "<0.01" if 0 < cost < 0.01 else f"{cost:.2f}"


def _problems(bundle: ListedBundle) -> Iterator[str]:
    if bundle.problem:
        yield bundle.problem
    if bundle.missing:
        names = ", ".join(bundle.missing[:MAX_SHOWN_NAMES])
        more = bundle.missing_count - MAX_SHOWN_NAMES
        yield f"missing: {names}" + (f" and {more} more" if more > 0 else "")
    if bundle.stray_count:
        yield f"parts of that name that the manifest does not name: {bundle.stray_count}"
