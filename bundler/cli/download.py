"""ami-bundler download."""

import argparse

from bundler.cli.cloud import describe_transfer, transfer_facts
from bundler.cli.console import Console, Result
from bundler.cli.options import (
    add_certificate_option,
    add_cloud_options,
    add_force_option,
    add_resume_option,
    add_transfer_options,
    parse_path,
)
from bundler.cli.stored import open_stored
from bundler.model.manifest import SignedManifest
from bundler.workflow.download import download_bundle
from bundler.workflow.keys import load_certificate
from bundler.workflow.manifest_file import verify_manifest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("location", metavar="s3://BUCKET/NAME.manifest.xml")
    parser.add_argument("--directory", "-d", type=parse_path, required=True, metavar="DIR")
    add_certificate_option(parser)
    add_force_option(parser, "files of those names")
    add_resume_option(parser)
    add_transfer_options(parser)
    add_cloud_options(parser)


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """Download a bundle."""
    certificate = load_certificate(arguments.cert) if arguments.cert else None
    if certificate is None:
        console.warn("the signature is not checked: no --cert is given")
    bundle = open_stored(arguments, arguments.location)

    def check(signed: SignedManifest) -> None:
        if certificate is not None:
            verify_manifest(signed, certificate)

    downloaded = download_bundle(
        bundle.store,
        bundle.name,
        arguments.directory,
        check=check,
        force=arguments.force,
        resume=not arguments.no_resume,
        progress=console,
    )
    facts = transfer_facts(bundle.cloud, done=downloaded.fetched_count, held=downloaded.held_count)
    console.note(describe_transfer(facts))
    manifest = downloaded.signed.manifest
    return Result(
        text=str(downloaded.path),
        facts={
            "manifest": str(downloaded.path),
            "signature_checked": certificate is not None,
            "part_count": len(manifest.parts),
            "bundled_size": manifest.bundled_size,
            **facts,
        },
    )
