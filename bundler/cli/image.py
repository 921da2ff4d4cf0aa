"""ami-bundler image."""

import argparse
from pathlib import Path

from bundler.cli.bundle_options import (
    add_bundle_options,
    add_key_options,
    bundle_keys,
    bundle_spec,
    check_format,
    find_account,
)
from bundler.cli.bundle_source import add_source_argument, open_source
from bundler.cli.console import Console, Result
from bundler.cli.discard_option import add_discard_option, discard_free
from bundler.cli.options import (
    add_cloud_options,
    add_force_option,
    add_transfer_options,
    parse_path,
)
from bundler.host.bundle_directory import BundleDirectory
from bundler.host.files import check_room
from bundler.host.processors import processor_count
from bundler.model.file_name import manifest_name
from bundler.workflow.bundle_image import Bundle, bundle_image, plan_bundle
from bundler.workflow.keys import new_bundle_key
from bundler.workflow.local_checks import ROOM_REMEDY


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_source_argument(parser)
    parser.add_argument(
        "--destination", "-d", type=parse_path, required=True, metavar="DIR", help="for the bundle"
    )
    parser.add_argument(
        "--name", "-p", default="", metavar="NAME", help="of the bundle (default: the image's)"
    )
    add_force_option(parser, "a bundle of that name, all its parts included")
    parser.add_argument(
        "--no-space-check",
        action="store_true",
        help="begin even when the disk could not hold a bundle that does not compress at all",
    )
    add_bundle_options(parser)
    add_discard_option(parser)
    add_key_options(parser)
    add_transfer_options(parser)
    add_cloud_options(parser)


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """Bundle an image."""
    with open_source(arguments, arguments.image) as opened:
        arguments, source = opened.arguments, opened.source
        check_format(arguments, source)
        keys = bundle_keys(arguments, console)
        account = find_account(arguments)
        spec = bundle_spec(arguments, source, arguments.name or opened.name, account, console)
        source = discard_free(arguments, source, console)
        directory: Path = arguments.destination
        with BundleDirectory.create(directory, spec.name, force=arguments.force) as sink:
            plan = plan_bundle(
                source, dig_holes=arguments.dig_holes, allow_large=arguments.allow_large
            )
            if not arguments.no_space_check:
                check_room(directory, plan.worst_size, remedy=ROOM_REMEDY)
            bundle = bundle_image(
                plan,
                spec,
                keys,
                sink,
                secret=new_bundle_key(),
                workers=processor_count(),
                progress=console,
            )
    manifest = directory / manifest_name(spec.name)
    return Result(
        text=str(manifest),
        facts={
            "manifest": str(manifest),
            **bundle_facts(bundle),
            "data_size": bundle.data_size,
            **opened.facts(),
        },
    )


def bundle_facts(bundle: Bundle) -> dict[str, object]:
    """What a program wants to know of a finished bundle; sizes in bytes."""
    manifest = bundle.manifest
    return {
        "name": manifest.name,
        "size": manifest.size,
        "data_size": bundle.data_size,
        "bundled_size": manifest.bundled_size,
        "part_count": len(manifest.parts),
        "digest": {
            "algorithm": manifest.digest.algorithm.value,
            "value": manifest.digest.hexdigest,
        },
    }
