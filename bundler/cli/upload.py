"""ami-bundler upload."""

import argparse
from pathlib import Path

from bundler.aws.s3 import ACL, S3BundleStore
from bundler.cli.cloud import open_cloud
from bundler.cli.console import Console, Result
from bundler.cli.options import add_cloud_options, add_force_option
from bundler.errors import UsageError
from bundler.model.file_name import MANIFEST_SUFFIX
from bundler.model.image import ImageLocation
from bundler.workflow.manifest_file import load_manifest
from bundler.workflow.upload import find_old_bundle, upload_bundle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("manifest", type=Path, metavar="MANIFEST")
    parser.add_argument("location", metavar="s3://BUCKET/PREFIX")
    parser.add_argument(
        "--parts", "-s", type=Path, metavar="DIR", help="default: the manifest's directory"
    )
    add_acl_option(parser)
    add_force_option(parser, "a bundle of that name")
    add_cloud_options(parser)


def add_acl_option(parser: argparse.ArgumentParser) -> None:
    """--acl."""
    parser.add_argument(
        "--acl",
        default=ACL,
        choices=(ACL, "public-read", "none"),
        help=f"canned ACL of each object (default: {ACL}, which lets EC2 read the bundle)",
    )


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """Upload a bundle."""
    path: Path = arguments.manifest
    if not path.name.endswith(MANIFEST_SUFFIX):
        raise UsageError(f"upload {path}: expected a name that ends in {MANIFEST_SUFFIX}")
    name = path.name.removesuffix(MANIFEST_SUFFIX)
    location = ImageLocation.parse(arguments.location)
    signed, document = load_manifest(path)
    client = open_cloud(arguments).s3()
    with console.task(f"uploading {name}", signed.manifest.bundled_size) as advance:
        store = S3BundleStore(client, location, acl=arguments.acl, progress=advance)
        store.prepare()
        old = find_old_bundle(store, name, force=arguments.force)
        manifest = upload_bundle(
            signed, document, arguments.parts or path.parent, store, name=name, old=old
        )
    return Result(
        text=manifest.url,
        facts={
            "manifest": manifest.url,
            "part_count": len(signed.manifest.parts),
            "bundled_size": signed.manifest.bundled_size,
        },
    )
