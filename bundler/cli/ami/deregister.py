"""ami-bundler ami deregister."""

import argparse
from dataclasses import dataclass

from bundler.aws.bucket import S3Bucket
from bundler.aws.ec2_api import Ec2Api
from bundler.aws.image_changes import deregister_call, deregister_image
from bundler.aws.session import Cloud
from bundler.aws.snapshots import delete_snapshot
from bundler.cli.changes import (
    Step,
    add_dry_run_option,
    api_of,
    register_line,
    registry_of,
    require_image,
    show_plan,
)
from bundler.cli.cloud import open_cloud
from bundler.cli.console import Console, Result
from bundler.cli.delete import deletion_urls, run_deletion, tell_deletion
from bundler.cli.image_uses import uses_of
from bundler.cli.options import add_cloud_options
from bundler.cli.stored import StoredBundle, open_stored
from bundler.errors import AwsRefusedError, InUseError, TransferError, UsageError
from bundler.model.own_image import OwnImage
from bundler.workflow.delete_bundle import Deletion, plan_deletion
from bundler.workflow.registered import find_registered


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bundle:
    """The bundle that goes with its AMI."""

    stored: StoredBundle
    deletion: Deletion
    is_versioned: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("image_id", metavar="AMI")
    parser.add_argument(
        "--delete-bundle",
        action="store_true",
        help="of an S3-backed AMI: delete its bundle from S3 as well",
    )
    parser.add_argument(
        "--delete-snapshots",
        "--delete-associated-snapshots",
        action="store_true",
        help="of an EBS-backed AMI: delete its snapshots as well, but for those of other AMIs",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="even if instances, launch templates, Auto Scaling groups or, with --delete-bundle, "
        "other AMIs need it",
    )
    parser.add_argument(
        "--yes", "-y", action="store_true", help="do not ask; needed where there is no terminal"
    )
    add_dry_run_option(parser)
    add_cloud_options(parser)


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """Deregister an AMI."""
    is_asking = not (arguments.yes or arguments.dry_run)
    if is_asking and not console.has_terminal():
        raise UsageError("ami deregister: there is no terminal to ask on: expected --yes or -n")
    cloud = open_cloud(arguments)
    api = api_of(cloud)
    image = require_image(api, arguments.image_id, "ami deregister")
    _check_image(arguments, image)
    _check_unused(arguments, cloud, image, console)
    bundle = _plan_bundle(arguments, cloud, image, console) if arguments.delete_bundle else None
    what = f"{image.image_id} ({image.name or 'without a name'})"
    if bundle is not None:
        tell_deletion(
            bundle.deletion,
            console,
            verb="would delete" if arguments.dry_run or is_asking else "deleting",
            is_versioned=bundle.is_versioned,
            is_loud=arguments.verbose > 0,
        )
    if arguments.delete_snapshots:
        console.note(f"deleting its snapshots: {', '.join(image.snapshot_ids) or 'it has none'}")
    if arguments.dry_run:
        return _plan(arguments, api, image, bundle, console)
    if is_asking and not console.confirm(f"Deregister {what}?"):
        raise UsageError(f"ami deregister {what}: not confirmed; nothing is changed")
    results = deregister_image(api, image.image_id, delete_snapshots=arguments.delete_snapshots)
    console.note(f"deregistered {what}")
    if bundle is None and not arguments.delete_snapshots:
        _tell_undo(image, api.region, console)
    deleted = _delete_snapshots(api, image, results, console) if arguments.delete_snapshots else []
    if bundle is not None:
        _delete_bundle(bundle, image, console)
    return _result(image, bundle, deleted)


def _check_image(arguments: argparse.Namespace, image: OwnImage) -> None:
    """Refuse what does not fit the AMI.

    Raises:
        UsageError: an option is for AMIs of the other kind.
        AwsRefusedError: it is protected.
    """
    subject = f"ami deregister {image.image_id}"
    if arguments.delete_bundle and not image.is_s3_backed:
        raise UsageError(
            f"{subject}: it is EBS-backed, and has no bundle; --delete-snapshots is for such"
        )
    if arguments.delete_snapshots and image.is_s3_backed:
        raise UsageError(
            f"{subject}: it is S3-backed, and has no snapshots; --delete-bundle is for such"
        )
    if image.is_protected:
        later = ", 24 hours later" if "cooldown" in image.protection else ""
        raise AwsRefusedError(
            f"{subject}: it is protected from deregistration ({image.protection}); "
            f"ami-bundler ami protect {image.image_id} --off ends that{later}",
            code="OperationNotPermitted",
        )


def _check_unused(
    arguments: argparse.Namespace, cloud: Cloud, image: OwnImage, console: Console
) -> None:
    """Refuse to take away what something needs.

    Raises:
        InUseError: something does, and --force is not given.
        AwsRefusedError: EC2 does not tell, and --force is not given.
        TransferError: EC2 could not be reached.
    """
    try:
        uses = uses_of(cloud, image.image_id)
    except AwsRefusedError as error:
        if not arguments.force:
            raise AwsRefusedError(
                f"{error}; --force deregisters it without knowing what needs it", code=error.code
            ) from error
        console.warn(f"what needs {image.image_id} is not known: {error}")
        return
    if not uses:
        return
    words = f"{image.image_id} is needed by {', '.join(uses)}"
    if not arguments.force:
        raise InUseError(f"ami deregister: {words}; --force deregisters it all the same")
    console.warn(words)


def _plan_bundle(
    arguments: argparse.Namespace, cloud: Cloud, image: OwnImage, console: Console
) -> _Bundle:
    """What deleting the bundle means; other AMIs of it need --force.

    Raises:
        InUseError: other AMIs are registered from it.
        AwsRefusedError, TransferError, InputError: as plan_deletion().
    """
    stored = open_stored(arguments, f"s3://{image.location.strip('/')}")
    registered = find_registered(registry_of(cloud)).get(stored.location.path, ())
    if others := [image_id for image_id in registered if image_id != image.image_id]:
        words = f"other AMIs are registered from {stored.location.url}: {', '.join(others)}"
        if not arguments.force:
            raise InUseError(f"ami deregister {image.image_id} --delete-bundle: {words}; --force")
        console.warn(f"{words}; nobody can launch them any more")
    deletion = plan_deletion(stored.store, stored.name, force=arguments.force)
    client, bucket = stored.cloud.s3(), stored.location.bucket
    is_versioned = S3Bucket(client, bucket, stored.cloud.transport).is_versioned()
    return _Bundle(stored=stored, deletion=deletion, is_versioned=is_versioned)


def _plan(
    arguments: argparse.Namespace,
    api: Ec2Api,
    image: OwnImage,
    bundle: _Bundle | None,
    console: Console,
) -> Result:
    call = deregister_call(image.image_id, api.region, delete_snapshots=arguments.delete_snapshots)
    objects = deletion_urls(bundle.deletion) if bundle else []
    result = show_plan([Step(call=call, api=api)], console, objects=objects)
    lines = [result.text, *(f"DeleteObject: {url}" for url in objects)]
    return Result(text="\n".join(lines), facts=result.facts)


def _tell_undo(image: OwnImage, region: str, console: Console) -> None:
    """How to register it again, and what still costs something."""
    if not image.is_s3_backed:
        words = ", ".join(image.snapshot_ids)
        console.note(f"its snapshots stay, and are billed: {words or 'it has none'}")
        return
    try:
        line = register_line(image.registration(), region)
    except UsageError as error:
        console.note(f"its bundle {image.location} stays in S3, but: {error}")
        return
    console.note(f"its bundle stays in S3; to register it again: {line}")


def _delete_snapshots(
    api: Ec2Api, image: OwnImage, results: dict[str, str], console: Console
) -> list[str]:
    """Delete those that EC2 has not deleted with the AMI, as older ones and copies of it do not.

    Raises:
        AwsRefusedError, TransferError: one could not be deleted; the message says so.
    """
    deleted = []
    for snapshot_id in image.snapshot_ids:
        try:
            is_deleted = results.get(snapshot_id) == "success" or (
                results.get(snapshot_id) != "skipped" and delete_snapshot(api, snapshot_id)
            )
        except (AwsRefusedError, TransferError) as error:
            words = f"{image.image_id} is deregistered, but {error}"
            raise type(error)(words, code=error.code) from error
        if is_deleted:
            deleted.append(snapshot_id)
        else:
            console.warn(f"{snapshot_id} stays: another AMI needs it")
    return deleted


def _delete_bundle(bundle: _Bundle, image: OwnImage, console: Console) -> None:
    try:
        run_deletion(bundle.stored, bundle.deletion, console)
    except (AwsRefusedError, TransferError) as error:
        url = bundle.deletion.location.url
        words = f"{image.image_id} is deregistered, but {error}; see ami-bundler delete {url}"
        raise type(error)(words, code=error.code) from error


def _result(image: OwnImage, bundle: _Bundle | None, deleted: list[str]) -> Result:
    return Result(
        text=image.image_id,
        facts={
            "image_id": image.image_id,
            "name": image.name,
            "image_location": image.location,
            "deleted_objects": deletion_urls(bundle.deletion) if bundle else [],
            "deleted_snapshots": deleted,
        },
    )
