"""ami-bundler upload."""

import argparse
from pathlib import Path

from bundler.aws.bucket import PUBLIC_ACL
from bundler.aws.s3 import ACL, NO_ACL
from bundler.cli.cloud import (
    describe_transfer,
    open_cloud,
    open_store,
    prepare_bucket,
    transfer_facts,
    warn_of_amis,
)
from bundler.cli.console import Console, Result
from bundler.cli.options import (
    add_cloud_options,
    add_force_option,
    add_parts_option,
    add_resume_option,
    add_transfer_options,
    is_url,
    parse_path,
)
from bundler.errors import UsageError
from bundler.model.file_name import MANIFEST_SUFFIX
from bundler.model.image import ImageLocation
from bundler.workflow.manifest_file import load_manifest, manifest_sha1
from bundler.workflow.part_files import check_parts_present
from bundler.workflow.upload import find_bundle, upload_bundle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("manifest", type=parse_path, metavar="MANIFEST")
    parser.add_argument("location", metavar="s3://BUCKET/PREFIX")
    add_parts_option(parser)
    add_bucket_options(parser)
    add_force_option(parser, "a bundle of that name")
    add_resume_option(parser)
    add_transfer_options(parser)
    add_cloud_options(parser)


def add_bucket_options(parser: argparse.ArgumentParser) -> None:
    """What the bucket must take, and be made with."""
    parser.add_argument(
        "--acl",
        default=ACL,
        choices=(ACL, PUBLIC_ACL, NO_ACL),
        help=f"canned ACL of each object (default: {ACL}, which lets EC2 read the bundle)",
    )
    parser.add_argument(
        "--enable-acls",
        action="store_true",
        help="if the bucket takes no ACLs: set its object ownership to BucketOwnerPreferred",
    )
    parser.add_argument(
        "--bucket-tag",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a tag of the bucket, if it must be created; may be repeated",
    )


def parse_destination(url: str, command: str) -> ImageLocation:
    """The prefix that bundles go to.

    Raises:
        UsageError: not in S3, so perhaps a directory: no bucket is made of its name; or the URL
            of a manifest, which would become a part of the prefix.
    """
    if not is_url(url) or url.endswith(MANIFEST_SUFFIX):
        raise UsageError(f"{command} to {url}: expected s3://BUCKET/[PREFIX]")
    return ImageLocation.parse(url)


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """Upload a bundle."""
    path: Path = arguments.manifest
    if not path.name.endswith(MANIFEST_SUFFIX):
        raise UsageError(f"upload {path}: expected a name that ends in {MANIFEST_SUFFIX}")
    name = path.name.removesuffix(MANIFEST_SUFFIX)
    location = parse_destination(arguments.location, arguments.command)
    signed, document = load_manifest(path)
    directory: Path = arguments.parts or path.parent
    # Before a bucket is made, or anything in it is changed.
    check_parts_present(directory, signed.manifest)
    cloud = open_cloud(arguments)
    with console.task(f"uploading {name}", signed.manifest.bundled_size) as advance:
        store = open_store(cloud, location, acl=arguments.acl, progress=advance)
        prepare_bucket(arguments, cloud, location, console)
        ours = (manifest_sha1(document),)
        found = find_bundle(store, name, force=arguments.force, ours=ours)
        warn_of_amis(cloud, location, found, console)
        manifest = upload_bundle(
            signed,
            document,
            directory,
            store,
            found=found,
            resume=not arguments.no_resume,
        )
    facts = transfer_facts(cloud, done=store.sent_count, held=store.held_count)
    console.note(describe_transfer(facts))
    return Result(
        text=manifest.url,
        facts={
            "manifest": manifest.url,
            "part_count": len(signed.manifest.parts),
            "bundled_size": signed.manifest.bundled_size,
            **facts,
        },
    )
