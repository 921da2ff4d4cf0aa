"""ami-bundler delete."""

import argparse

from bundler.aws.bucket import S3Bucket
from bundler.cli.cloud import registry_of
from bundler.cli.console import Console, Result, printable
from bundler.cli.options import (
    add_certificate_option,
    add_cloud_options,
    add_transfer_options,
)
from bundler.cli.stored import StoredBundle, open_stored
from bundler.cli.table import format_size
from bundler.errors import (
    AwsRefusedError,
    InUseError,
    TransferError,
    UsageError,
    VerificationError,
)
from bundler.model.manifest import SignedManifest
from bundler.workflow.delete_bundle import Deletion, delete_bundle, plan_deletion
from bundler.workflow.keys import load_certificate
from bundler.workflow.manifest_file import verify_manifest
from bundler.workflow.registered import find_registered


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("location", metavar="s3://BUCKET/NAME.manifest.xml")
    add_certificate_option(parser)
    parser.add_argument(
        "--yes", "-y", action="store_true", help="do not ask; needed where there is no terminal"
    )
    parser.add_argument(
        "--dry-run", "-n", action="store_true", help="print what would go, and delete nothing"
    )
    parser.add_argument(
        "--leftovers",
        action="store_true",
        help="delete parts of the bundle's name too that no manifest names, as an interrupted "
        "deletion or upload leaves them; an upload that is under way looks just the same",
    )
    parser.add_argument(
        "--no-ami-check", action="store_true", help="do not ask EC2 for AMIs of the bundle"
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="even if an AMI is registered from it, its parts are not named NAME.part.N, or "
        "another manifest names them too",
    )
    add_transfer_options(parser)
    add_cloud_options(parser)


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """Delete a bundle."""
    is_asking = not (arguments.yes or arguments.dry_run)
    if is_asking and not console.has_terminal():
        raise UsageError("delete: there is no terminal to ask on: expected --yes or --dry-run")
    certificate = load_certificate(arguments.cert) if arguments.cert else None
    bundle = open_stored(arguments, arguments.location)

    def check(signed: SignedManifest | None) -> None:
        if certificate is None:
            return
        if signed is None:
            raise VerificationError(
                f"delete {bundle.location.url}: there is no manifest whose signature could hold"
            )
        verify_manifest(signed, certificate)

    if not arguments.no_ami_check:
        _check_not_registered(bundle, console, force=arguments.force)
    deletion = plan_deletion(
        bundle.store,
        bundle.name,
        check=check,
        force=arguments.force,
        leftovers=arguments.leftovers,
    )
    is_versioned = S3Bucket(
        bundle.cloud.s3(), bundle.location.bucket, bundle.cloud.transport
    ).is_versioned()
    tell_deletion(
        deletion,
        console,
        verb="deleting" if arguments.yes and not arguments.dry_run else "would delete",
        is_versioned=is_versioned,
        is_loud=arguments.verbose > 0,
    )
    if is_asking and not console.confirm("Continue?"):
        raise UsageError(f"delete {bundle.location.url}: not confirmed; nothing is deleted")
    if not arguments.dry_run:
        run_deletion(bundle, deletion, console)
    return _result(deletion, is_dry_run=arguments.dry_run, is_versioned=is_versioned)


def _check_not_registered(bundle: StoredBundle, console: Console, *, force: bool) -> None:
    """Whoever launches an AMI reads its bundle.

    EC2 tells of AMIs by bucket name, and of one region: of another one it would tell of none.

    Raises:
        UsageError: the bucket is named by an access point.
        InUseError: an AMI of this account is registered from it, and no `force`.
        AwsRefusedError, TransferError: EC2 does not tell, or the bucket is in another region.
    """
    url, remedy = bundle.location.url, "--no-ami-check deletes without asking EC2"
    if bundle.location.is_access_point:
        raise UsageError(
            f"delete {url}: which AMIs need it cannot be asked by an access point; name the "
            "bucket, or give --no-ami-check"
        )
    try:
        registry = registry_of(bundle.cloud)
        image_ids = find_registered(registry).get(bundle.location.path, ())
    except (AwsRefusedError, TransferError) as error:
        if not force:
            raise type(error)(f"{error}; {remedy}", code=error.code) from error
        console.warn(f"which AMIs are registered is not known: {error}")
        return
    if not image_ids:
        client, bucket = bundle.cloud.s3(), bundle.location.bucket
        S3Bucket(client, bucket, bundle.cloud.transport).check_region()
        return
    words = f"AMIs that are registered from it: {', '.join(image_ids)}"
    if not force:
        raise InUseError(f"delete {url}: it is needed by {words}; deregister them, or --force")
    console.warn(f"without {url} nobody can launch the {words}")


def tell_deletion(
    deletion: Deletion, console: Console, *, verb: str, is_versioned: bool, is_loud: bool
) -> None:
    """Say what will go, before anybody is asked."""
    if is_versioned:
        console.warn(
            f"s3://{deletion.location.bucket} is versioned: what is deleted stays there as an old "
            "version, and is billed"
        )
    if deletion.foreign_count:
        console.warn(
            f"parts that are not named {deletion.name}.part.N: {deletion.foreign_count}; should "
            "this be interrupted, --leftovers does not find them"
        )
    if not deletion.names:
        console.note(f"nothing is left of {deletion.location.url}")
    else:
        size = format_size(deletion.size)
        what = "manifest and parts" if deletion.manifest else "leftover parts"
        console.note(
            f"{verb} {deletion.location.url}: {what}, {len(deletion.names)} objects, {size}"
        )
    if is_loud:
        for url in deletion_urls(deletion):
            console.note(f"  {url}")
    if deletion.upload_names:
        console.note(f"and unfinished uploads of {len(deletion.upload_names)} of its objects")
    if deletion.stray_count:
        console.note(
            f"parts of that name that the manifest does not name stay: {deletion.stray_count}; "
            "--leftovers deletes them too"
        )


def run_deletion(bundle: StoredBundle, deletion: Deletion, console: Console) -> None:
    """Delete what was planned; whoever interrupts it is told how to go on.

    Raises:
        UsageError, AwsRefusedError, TransferError: as delete_bundle().
    """
    try:
        delete_bundle(bundle.store, deletion)
    except KeyboardInterrupt:
        console.warn(
            f"{deletion.location.url} may be half deleted: if its manifest is gone, call again "
            "with --leftovers"
        )
        raise


def deletion_urls(deletion: Deletion) -> list[str]:
    """The objects that go, in order."""
    folder = deletion.location.url.removesuffix(deletion.location.key.rpartition("/")[2])
    return [folder + name for name in deletion.names]


def _result(deletion: Deletion, *, is_dry_run: bool, is_versioned: bool) -> Result:
    urls = deletion_urls(deletion)
    freed = 0 if is_dry_run or is_versioned else deletion.size
    return Result(
        text="\n".join(map(printable, urls)) if is_dry_run else deletion.location.url,
        facts={
            "manifest": deletion.location.url,
            "dry_run": is_dry_run,
            "deleted_count": 0 if is_dry_run else len(urls),
            "size": deletion.size,
            "freed_size": freed,
            "versioned": is_versioned,
            "stray_part_count": deletion.stray_count,
            "aborted_upload_count": 0 if is_dry_run else len(deletion.upload_names),
            "objects": urls,
        },
    )
