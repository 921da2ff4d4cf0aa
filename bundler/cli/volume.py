"""ami-bundler volume."""

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from bundler.cli.bundle_options import (
    add_bundle_options,
    add_key_options,
    bundle_keys,
    bundle_spec,
    find_account,
)
from bundler.cli.bundle_source import with_defaults
from bundler.cli.console import Console, Result
from bundler.cli.image import bundle_facts
from bundler.cli.inherit import add_inherit_option, inherit
from bundler.cli.options import (
    add_cloud_options,
    add_force_option,
    add_transfer_options,
    parse_path,
)
from bundler.cli.publish import add_state_option
from bundler.cli.selection_options import add_selection_options
from bundler.cli.upload import add_bucket_options
from bundler.cli.volume_image import (
    enter_own_namespace,
    own_files,
    planned_image,
    scratch_directory,
)
from bundler.cli.volume_options import add_volume_options, image_options
from bundler.cli.volume_report import (
    add_report_option,
    check_report,
    describe_plan,
    keep_report,
    plan_facts,
    report_files,
)
from bundler.cli.volume_room import check_rooms
from bundler.cli.volume_store import StoreTarget, add_ami_options
from bundler.errors import UsageError
from bundler.host.bundle_directory import BundleDirectory
from bundler.host.consuming_source import ConsumingSource
from bundler.host.files import atomic_file, check_directory, scratch_file
from bundler.host.image_file import ImageSource
from bundler.host.processors import processor_count
from bundler.model.file_name import manifest_name
from bundler.workflow.bundle_image import (
    BundleKeys,
    BundlePlan,
    BundleSpec,
    bundle_image,
    check_name,
    plan_bundle,
)
from bundler.workflow.bundle_source import BundleSource
from bundler.workflow.detect_architecture import detect_architecture
from bundler.workflow.image_options import ImageOptions
from bundler.workflow.image_volume import FilledImage, VolumePlan
from bundler.workflow.keys import new_bundle_key


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("location", nargs="?", default="", metavar="s3://BUCKET/PREFIX")
    add_options(parser)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those that `doctor volume` takes, too."""
    parser.add_argument(
        "--destination", "-d", type=parse_path, metavar="DIR", help="for the bundle, or the image"
    )
    parser.add_argument(
        "--name", "-p", default="image", metavar="NAME", help="of the bundle (default: image)"
    )
    parser.add_argument(
        "--clone-only", action="store_true", help="make the image DIR/NAME alone, and no bundle"
    )
    parser.add_argument(
        "--consume",
        action="store_true",
        help="give the image's room back while the bundle is made of it",
    )
    parser.add_argument(
        "--dry-run",
        "-n",
        action="store_true",
        help="look at the volume, tell what would be done, and change nothing",
    )
    parser.add_argument(
        "--no-space-check",
        action="store_true",
        help="begin even when the disk could not hold image and bundle",
    )
    add_report_option(parser)
    add_force_option(parser, "a bundle of that name, all its parts included, or an image")
    add_inherit_option(parser)
    add_volume_options(parser)
    add_selection_options(parser)
    add_bundle_options(parser)
    add_key_options(parser)
    add_ami_options(parser)
    add_bucket_options(parser)
    add_state_option(parser)
    add_transfer_options(parser)
    add_cloud_options(parser)


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """Image a volume, and bundle the image."""
    check_destination(arguments)
    options = image_options(arguments, may_mount=enter_own_namespace(arguments.volume))
    if arguments.dry_run:
        with planned_image(arguments, options, (), console) as planned:
            return Result(text=describe_plan(planned), facts=plan_facts(planned))
    if arguments.clone_only:
        return _clone(arguments, options, console)
    arguments = inherited(arguments, console)
    keys = bundle_keys(arguments, console)
    spec = bundle_spec(arguments, None, arguments.name, find_account(arguments), console)
    if arguments.location:
        return _bundle_to_store(arguments, options, keys, spec, console)
    return _bundle_to_directory(arguments, options, keys, spec, console)


def inherited(arguments: argparse.Namespace, console: Console) -> argparse.Namespace:
    """Arguments, with what is inherited, or goes without saying, where they say nothing.

    Raises:
        UsageError, AwsRefusedError, TransferError: see inherit().
    """
    if is_instance_asked(arguments):
        arguments = inherit(arguments, console)
    return with_defaults(arguments)


def is_instance_asked(arguments: argparse.Namespace) -> bool:
    """Whether an instance is asked: another tree is no copy of what it was launched from."""
    return bool(arguments.inherit or arguments.volume.resolve() == Path("/"))


def check_destination(arguments: argparse.Namespace) -> None:
    """Make sure that options say where the result goes, and that it can be written there.

    Raises:
        UsageError: they contradict one another, or say nothing.
        MissingError, InputError, HostError: a directory cannot be written to.
    """
    is_local = arguments.destination is not None
    if arguments.clone_only and arguments.location:
        raise UsageError("volume: --clone-only leaves an image in -d DIR, and nothing in S3")
    if not arguments.dry_run and is_local == bool(arguments.location):
        raise UsageError("volume: expected either -d DIR or s3://BUCKET/PREFIX")
    if arguments.ami_name and not arguments.location:
        raise UsageError("--ami-name: expected s3://BUCKET/PREFIX, where the AMI's bundle goes")
    if arguments.clone_only and arguments.consume:
        raise UsageError("--clone-only, --consume: expected one of them")
    check_name(arguments.name)
    if is_local:
        check_directory(arguments.destination)
        if arguments.volume.exists() and arguments.destination.samefile(arguments.volume):
            raise UsageError(
                f"-d {arguments.destination}: expected another directory than the volume's own, "
                "for what is in it is left out of the image"
            )
    check_directory(scratch_directory(arguments))
    check_report(arguments)


def _clone(arguments: argparse.Namespace, options: ImageOptions, console: Console) -> Result:
    path: Path = arguments.destination / arguments.name
    with atomic_file(path, mode=0o600, force=arguments.force) as file:
        plan, filled = _fill(arguments, options, file, console)
    report = keep_report(arguments, plan, filled, console)
    facts = {"image": str(path), "size": filled.disk.size, **report}
    return Result(text=str(path), facts=facts)


def _bundle_to_directory(
    arguments: argparse.Namespace,
    options: ImageOptions,
    keys: BundleKeys,
    spec: BundleSpec,
    console: Console,
) -> Result:
    directory: Path = arguments.destination
    with (
        BundleDirectory.create(directory, spec.name, force=arguments.force) as sink,
        scratch_file(scratch_directory(arguments)) as file,
    ):
        plan, filled = _fill(arguments, options, file, console)
        with _opened_image(arguments, plan, file) as image:
            bundle = bundle_image(
                image,
                _with_architecture(arguments, spec, plan, image.source, console),
                keys,
                sink,
                secret=new_bundle_key(),
                workers=processor_count(),
                progress=console,
            )
    manifest = directory / manifest_name(spec.name)
    report = keep_report(arguments, plan, filled, console)
    facts = {"manifest": str(manifest), **bundle_facts(bundle), **report}
    return Result(text=str(manifest), facts=facts)


def _bundle_to_store(
    arguments: argparse.Namespace,
    options: ImageOptions,
    keys: BundleKeys,
    spec: BundleSpec,
    console: Console,
) -> Result:
    target = StoreTarget.open(arguments, spec, console)
    with scratch_file(scratch_directory(arguments)) as file:
        plan, filled = _fill(arguments, options, file, console)
        with _opened_image(arguments, plan, file) as image:
            spec = _with_architecture(arguments, spec, plan, image.source, console)
            bundle = target.send(image, spec, keys, console)
    report = keep_report(arguments, plan, filled, console)
    result = target.finish(spec, console)
    return replace(result, facts={**result.facts, **bundle_facts(bundle), **report})


def _fill(
    arguments: argparse.Namespace, options: ImageOptions, file: BinaryIO, console: Console
) -> tuple[VolumePlan, FilledImage]:
    """Make the image in an empty file; when it returns nothing is mounted any more."""
    own = (*own_files(arguments), *report_files(arguments))
    with planned_image(arguments, options, own, console) as planned:
        if not arguments.no_space_check:
            check_rooms(arguments, planned)
        return planned.plan, planned.fill(file)


@contextmanager
def _opened_image(
    arguments: argparse.Namespace, plan: VolumePlan, file: BinaryIO
) -> Iterator[BundlePlan]:
    with ExitStack() as stack:
        opened = ImageSource.open(Path(f"/proc/self/fd/{file.fileno()}"))
        image = replace(stack.enter_context(opened), path=Path(f"the image of {plan.volume.path}"))
        source: BundleSource = image
        if arguments.consume:
            source = stack.enter_context(ConsumingSource.open(image))
        yield plan_bundle(source, dig_holes=arguments.dig_holes, allow_large=arguments.allow_large)


def _with_architecture(
    arguments: argparse.Namespace,
    spec: BundleSpec,
    plan: VolumePlan,
    source: BundleSource,
    console: Console,
) -> BundleSpec:
    """The specification with what the volume's own programs are built for, if nobody says it."""
    if arguments.arch:
        return spec
    found = plan.architecture or detect_architecture(source)
    if found is None:
        console.warn(
            f"the architecture of {plan.volume.path} is not known: {spec.architecture} is assumed; "
            "--arch tells it"
        )
        return spec
    return replace(spec, architecture=found)
