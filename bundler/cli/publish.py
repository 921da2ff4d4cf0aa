"""ami-bundler publish."""

import argparse
from pathlib import Path

from bundler.aws.ec2 import Ec2ImageRegistry
from bundler.aws.s3 import S3BundleStore
from bundler.aws.session import Cloud
from bundler.cli.cloud import open_cloud
from bundler.cli.console import Console, Result
from bundler.cli.image import bundle_facts
from bundler.cli.options import (
    add_bundle_options,
    add_cloud_options,
    add_force_option,
    add_key_options,
    bundle_keys,
    bundle_spec,
    choice,
    find_account,
)
from bundler.cli.register import add_registration_options, register
from bundler.cli.upload import add_acl_option
from bundler.errors import BundlerError
from bundler.host.image_file import ImageSource
from bundler.host.processors import processor_count
from bundler.model.file_name import manifest_name
from bundler.model.image import ImageLocation, VirtualizationType
from bundler.model.registration import Registration
from bundler.workflow.bundle_image import BundleKeys, BundleSpec, plan_bundle
from bundler.workflow.keys import new_bundle_key
from bundler.workflow.publish import PublishedBundle, check_name_free, publish_bundle
from bundler.workflow.upload import find_old_bundle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("image", type=Path, metavar="IMAGE", help="raw image or block device")
    parser.add_argument("location", metavar="s3://BUCKET/PREFIX")
    add_registration_options(parser)
    parser.add_argument(
        "--bundle-name", "-p", default="", metavar="NAME", help="default: the image's"
    )
    add_acl_option(parser)
    add_force_option(parser, "a bundle of that name in S3")
    add_bundle_options(parser)
    add_key_options(parser)
    add_cloud_options(parser)


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """Bundle, upload and register."""
    location = ImageLocation.parse(arguments.location)
    with ImageSource.open(arguments.image) as source:
        keys = bundle_keys(arguments, console)
        cloud = open_cloud(arguments)
        account = find_account(arguments)
        name = arguments.bundle_name or arguments.image.name
        spec = bundle_spec(arguments, source, name, account, console)
        registration = _registration(arguments, spec, location)
        registry = Ec2ImageRegistry(cloud.ec2())
        check_name_free(registry, registration.name)
        published = _publish(arguments, source, spec, keys, cloud, location, console)
    try:
        result = register(registry, registration, console)
    except BundlerError:
        console.note(
            f"the bundle is whole: ami-bundler register {published.location.url} tries again"
        )
        raise
    return Result(text=result.text, facts={**result.facts, **bundle_facts(published.bundle)})


def _registration(
    arguments: argparse.Namespace, spec: BundleSpec, location: ImageLocation
) -> Registration:
    return Registration(
        location=location.join(manifest_name(spec.name)),
        name=arguments.name,
        description=arguments.description,
        architecture=spec.architecture,
        virtualization_type=choice(
            "--virtualization-type", arguments.virtualization_type, VirtualizationType
        ),
        kernel_id=arguments.kernel,
        ramdisk_id=arguments.ramdisk,
    )


def _publish(
    arguments: argparse.Namespace,
    source: ImageSource,
    spec: BundleSpec,
    keys: BundleKeys,
    cloud: Cloud,
    location: ImageLocation,
    console: Console,
) -> PublishedBundle:
    plan = plan_bundle(source, dig_holes=arguments.dig_holes, allow_large=arguments.allow_large)
    store = S3BundleStore(cloud.s3(), location, acl=arguments.acl)
    store.prepare()
    old = find_old_bundle(store, spec.name, force=arguments.force)
    return publish_bundle(
        plan,
        spec,
        keys,
        store,
        old=old,
        secret=new_bundle_key(),
        workers=processor_count(),
        progress=console,
    )
