"""ami-bundler ami list."""

import argparse
import heapq
from collections.abc import Iterable, Sequence
from datetime import datetime

from bundler.aws.images import find_images
from bundler.cli.cloud import api_of, open_cloud
from bundler.cli.console import Console, Result
from bundler.cli.image_query import add_filter_options, add_owner_options, query_of
from bundler.cli.options import add_cloud_options, parse_count
from bundler.cli.query import add_query_option, answer_query, compile_query
from bundler.cli.table import format_table
from bundler.errors import UsageError
from bundler.model.described_image import DescribedImage

MAX_LIMIT = 1_000_000
"""Most AMIs that --limit takes; our choice."""

_HEAD = ("IMAGE", "CREATED", "STATE", "OWNER", "ARCH", "TYPE", "ROOT", "NAME")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_owner_options(parser)
    add_filter_options(parser)
    parser.add_argument(
        "--limit", default="", metavar="N", help="show the newest N alone (default: all)"
    )
    parser.add_argument("--ids", action="store_true", help="print ids alone, a line each")
    add_query_option(parser, "Images[].[ImageId,Name]")
    add_cloud_options(parser)


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """List AMIs."""
    if arguments.ids and arguments.query:
        raise UsageError("ami list: expected --ids or --query, got both")
    query = query_of(arguments)
    answer = compile_query(arguments.query)
    limit = parse_count(arguments.limit, "--limit", most=MAX_LIMIT) if arguments.limit else None
    cloud = open_cloud(arguments)
    if not (query.owners or query.filters):
        console.note("reading all AMIs that this account may launch: that may take a minute")
    shown, count = newest(find_images(api_of(cloud), query), limit)
    facts = {
        "region": cloud.region,
        "match_count": count,
        "Images": [image.facts for image in shown],
    }
    if not shown:
        console.note(f"no such AMI in {cloud.region}")
    elif len(shown) < count:
        console.note(f"the newest {len(shown)} of {count} AMIs")
    if answer:
        return answer_query(answer, arguments.query, facts)
    lines = [image.image_id for image in shown] if arguments.ids else _table(shown)
    return Result(text="\n".join(lines), facts=facts)


def newest(images: Iterable[DescribedImage], limit: int | None) -> tuple[list[DescribedImage], int]:
    """The newest images first, of which no more than `limit` are kept, and how many there are."""
    count = 0

    def counted() -> Iterable[DescribedImage]:
        nonlocal count
        for image in images:
            count += 1
            yield image

    if limit is None:
        return sorted(counted(), key=_age, reverse=True), count
    found = heapq.nlargest(limit, counted(), key=_age)
    return found, count


def _age(image: DescribedImage) -> tuple[datetime, str]:
    return image.created, image.image_id


def _table(images: Sequence[DescribedImage]) -> list[str]:
    return format_table([_HEAD, *map(_row, images)], right=frozenset()) if images else []


def _row(image: DescribedImage) -> tuple[str, ...]:
    return (
        image.image_id,
        image.creation_date[:16].replace("T", " ") or "-",
        str(image.facts.get("State", "")),  # if only EC2 knows what it means
        image.owner_alias or image.owner,
        image.architecture,
        image.virtualization_type,
        "s3" if image.is_s3_backed else image.root_device_type,
        image.name,
    )
