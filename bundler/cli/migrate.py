"""ami-bundler migrate."""

import argparse
from pathlib import Path

from bundler.aws.session import partition
from bundler.cli.bundle_options import PRODUCT_CODES_WARNING, add_key_options
from bundler.cli.cloud import (
    describe_transfer,
    open_store,
    prepare_bucket,
    transfer_facts,
    warn_of_amis,
)
from bundler.cli.console import Console, Result
from bundler.cli.migrate_target import (
    Target,
    add_target_options,
    check_manifest_only,
    check_output,
    open_target,
    partition_of,
)
from bundler.cli.options import (
    add_cloud_options,
    add_force_option,
    add_resume_option,
    add_transfer_options,
    is_url,
    passphrase,
    path_option,
)
from bundler.cli.stored import StoredBundle, open_stored
from bundler.cli.upload import add_bucket_options
from bundler.host.files import write_file
from bundler.model.image import ImageLocation
from bundler.model.manifest import SignedManifest
from bundler.workflow.bundle_image import BundleKeys
from bundler.workflow.keys import load_bundle_keys
from bundler.workflow.manifest_file import manifest_sha1, read_manifest
from bundler.workflow.migrate import (
    StoredPart,
    find_migrated,
    find_parts,
    migrate_bundle,
)
from bundler.workflow.migrate_manifest import IdDecision, Migration, plan_migration
from bundler.workflow.upload import find_bundle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("source", metavar="s3://SOURCE/NAME.manifest.xml")
    parser.add_argument("destination", metavar="s3://BUCKET/PREFIX")
    add_target_options(parser)
    add_bucket_options(parser)
    add_force_option(parser, "a bundle of that name; with --manifest-only the output file")
    add_resume_option(parser)
    add_key_options(parser)
    add_transfer_options(parser)
    add_cloud_options(parser)


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """Take a bundle elsewhere, or write the manifest that it would have there."""
    if arguments.manifest_only:
        return _migrate_file(arguments, console)
    source = open_stored(arguments, arguments.source)
    target = open_target(arguments, source)
    keys = _load_keys(arguments, console, target.cloud.region, target.cloud.endpoint_url)
    migration = _plan(
        arguments, console, source.fetch(), keys, is_same_region=target.is_same_region
    )
    parts = find_parts(source.store, migration.source, progress=console)
    prepare_bucket(arguments, target.cloud, target.location, console)
    manifest, facts = _send(arguments, console, source, target, migration, keys, parts)
    if facts["unproven_count"]:
        console.warn(
            f"{facts['unproven_count']} parts are copies by a server that tells no SHA-1: "
            f"ami-bundler verify --deep {manifest.url} reads them"
        )
    return Result(
        text=manifest.url,
        facts={
            "manifest": manifest.url,
            "from": source.location.url,
            "to": target.location.url,
            "region": target.cloud.region,
            "partition": target.partition,
            **_id_facts(migration),
            "part_count": len(parts),
            "bundled_size": migration.source.bundled_size,
            **facts,
        },
    )


def _load_keys(
    arguments: argparse.Namespace, console: Console, region: str, endpoint_url: str
) -> BundleKeys:
    """The user's keys, and EC2's at the destination."""
    if endpoint_url and not arguments.ec2_cert:
        console.warn("no --ec2-cert: only AWS's own EC2 opens the bundle, no private cloud")
    key = path_option(arguments, "key", "EC2_PRIVATE_KEY")
    return load_bundle_keys(
        key,
        path_option(arguments, "cert", "EC2_CERT"),
        arguments.ec2_cert,
        # Not asked of regions of private clouds, which no partition has.
        "" if arguments.ec2_cert else partition(region),
        passphrase(arguments, console, key),
    )


def _plan(
    arguments: argparse.Namespace,
    console: Console,
    signed: SignedManifest,
    keys: BundleKeys,
    *,
    is_same_region: bool,
) -> Migration:
    migration = plan_migration(
        signed,
        keys,
        kernel=arguments.kernel,
        ramdisk=arguments.ramdisk,
        is_same_region=is_same_region,
    )
    if migration.source.product_codes:
        console.warn(PRODUCT_CODES_WARNING)
    return migration


def _send(
    arguments: argparse.Namespace,
    console: Console,
    source: StoredBundle,
    target: Target,
    migration: Migration,
    keys: BundleKeys,
    parts: tuple[StoredPart, ...],
) -> tuple[ImageLocation, dict[str, object]]:
    """Move the parts and put the manifest: where it is, and facts of the transfer."""
    is_streaming = arguments.stream or not target.takes_copies
    with console.task(f"migrating {source.name}", migration.source.bundled_size) as advance:
        store = open_store(target.cloud, target.location, acl=arguments.acl, progress=advance)
        done = None
        if not arguments.force:  # which writes the manifest anew, whatever is there
            done = find_migrated(store, source.name, migration, keys.user.public_key())
        document = done or migration.document
        ours = (manifest_sha1(document),) if done else ()
        found = find_bundle(store, source.name, force=arguments.force, ours=ours)
        warn_of_amis(target.cloud, target.location, found, console)
        moved = migrate_bundle(
            source.store,
            store,
            parts,
            migration.source,
            document,
            found=found,
            is_streaming=is_streaming,
            resume=not arguments.no_resume,
            advance=advance,
        )
    held_count = store.held_count + moved.unread_count
    facts = transfer_facts(target.cloud, done=store.sent_count, held=held_count)
    if source.cloud is not target.cloud:
        facts["retry_count"] += source.cloud.transport.retry_count
    if done:
        console.note("an earlier run has migrated the bundle to there already")
    console.note(describe_transfer(facts))
    return moved.manifest, {
        "method": "stream" if is_streaming else "copy",
        "was_migrated": done is not None,
        **facts,
        "unproven_count": store.unproven_count,
    }


def _migrate_file(arguments: argparse.Namespace, console: Console) -> Result:
    """Write the new manifest alone, to a file."""
    check_manifest_only(arguments)
    source = open_stored(arguments, arguments.source) if is_url(arguments.source) else None
    output = check_output(arguments, None if source else Path(arguments.source))
    # A file does not tell where it is from, and a certificate does not tell what it is for.
    region = source.cloud.region if source else arguments.region
    is_same_region = bool(region) and region == arguments.to_region
    keys = _load_keys(arguments, console, arguments.to_region, arguments.endpoint_url)
    signed = source.fetch() if source else read_manifest(Path(arguments.source))
    migration = _plan(arguments, console, signed, keys, is_same_region=is_same_region)
    write_file(output, migration.document, force=arguments.force)
    return Result(
        text=str(output),
        facts={
            "manifest": str(output),
            "from": source.location.url if source else arguments.source,
            "to": str(output),
            "region": arguments.to_region,
            "partition": partition_of(arguments.to_region),
            **_id_facts(migration),
            "method": "manifest",
            "transferred_count": 0,
            "held_count": 0,
            "retry_count": source.cloud.transport.retry_count if source else 0,
        },
    )


def _id_facts(migration: Migration) -> dict[str, object]:
    def facts(decision: IdDecision) -> dict[str, str]:
        return {"old": decision.old, "new": decision.new, "decision": decision.fate.value}

    return {"kernel": facts(migration.kernel), "ramdisk": facts(migration.ramdisk)}
