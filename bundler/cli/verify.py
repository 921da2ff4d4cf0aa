"""ami-bundler verify."""

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bundler.cli.console import Console, Result
from bundler.cli.options import (
    add_certificate_option,
    add_cloud_options,
    add_parts_option,
    add_passphrase_option,
    add_transfer_options,
    is_url,
    parse_path,
    passphrase,
    path_option,
)
from bundler.errors import UsageError
from bundler.host.processors import processor_count
from bundler.model.bundle import BundleKey
from bundler.model.manifest import Manifest, SignedManifest
from bundler.workflow.keys import load_certificate, load_private_key
from bundler.workflow.manifest_file import open_secret, read_manifest, verify_manifest
from bundler.workflow.part_files import read_parts
from bundler.workflow.stored_parts import read_stored_parts
from bundler.workflow.unbundle import check_image
from bundler.workflow.verify import (
    PartCheck,
    read_all_parts,
    verify_parts,
    verify_stored_parts,
)

if TYPE_CHECKING:
    from bundler.cli.stored import StoredBundle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("manifest", metavar="MANIFEST", help="a file, or s3://BUCKET/KEY")
    add_certificate_option(parser)
    add_parts_option(parser)
    parser.add_argument(
        "--deep",
        action="store_true",
        help="decrypt and unpack too: the tar stream's digest and the image's size; of a bundle "
        "in S3 read every part, and do the same if there is a key",
    )
    parser.add_argument(
        "--key", "-k", type=parse_path, metavar="PEM", help="for --deep (default: EC2_PRIVATE_KEY)"
    )
    parser.add_argument(
        "--as-ec2", action="store_true", help="the key is the cloud's, not the user's"
    )
    add_passphrase_option(parser)
    add_transfer_options(parser)
    add_cloud_options(parser)


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """Check a bundle."""
    if arguments.key and not arguments.deep:
        raise UsageError("verify: --key is for --deep")
    if is_url(arguments.manifest):
        from bundler.cli.stored import open_stored  # slow to import

        return _verify_stored(arguments, console, open_stored(arguments, arguments.manifest))
    path = Path(arguments.manifest)
    manifest = _manifest(arguments, console, read_manifest(path))
    directory: Path = arguments.parts or path.parent
    secret = _secret(arguments, console, manifest) if arguments.deep else None
    checks = verify_parts(manifest, directory, workers=processor_count(), progress=console)
    if secret is not None:
        parts = read_parts(directory, manifest)
        check_image(manifest, parts, secret, workers=processor_count(), progress=console)
    return _result(arguments, checks, is_image_checked=secret is not None)


def _verify_stored(
    arguments: argparse.Namespace, console: Console, bundle: "StoredBundle"
) -> Result:
    """Check a bundle in S3: by what S3 tells, or with --deep by reading it."""
    if arguments.parts:
        raise UsageError("verify: --parts is for bundles on the disk")
    manifest = _manifest(arguments, console, bundle.fetch())
    is_image_checked = False
    if arguments.deep and (arguments.key or os.environ.get("EC2_PRIVATE_KEY")):
        secret = _secret(arguments, console, manifest)
        checks = verify_stored_parts(bundle.store, manifest, progress=console)
        # Every part is verified while it is read.
        parts = read_stored_parts(bundle.store, manifest)
        check_image(manifest, parts, secret, workers=processor_count(), progress=console)
        checks = tuple(replace(check, is_proven=True) for check in checks)
        is_image_checked = True
    elif arguments.deep:
        checks = read_all_parts(bundle.store, manifest, progress=console)
    else:
        checks = verify_stored_parts(bundle.store, manifest, progress=console)
    return _result(
        arguments,
        checks,
        is_image_checked=is_image_checked,
        retry_count=bundle.cloud.transport.retry_count,
    )


def _manifest(arguments: argparse.Namespace, console: Console, signed: SignedManifest) -> Manifest:
    if arguments.cert:
        return verify_manifest(signed, load_certificate(arguments.cert))
    console.warn("the signature is not checked: no --cert is given")
    return signed.manifest


def _secret(arguments: argparse.Namespace, console: Console, manifest: Manifest) -> BundleKey:
    key_path = path_option(arguments, "key", "EC2_PRIVATE_KEY")
    key = load_private_key(key_path, passphrase(arguments, console, key_path))
    return open_secret(manifest, key, as_ec2=arguments.as_ec2)


def _result(
    arguments: argparse.Namespace,
    checks: tuple[PartCheck, ...],
    *,
    is_image_checked: bool,
    retry_count: int = 0,
) -> Result:
    text = f"{arguments.manifest}: ok, {len(checks)} parts"
    if by_size := sum(not check.is_proven for check in checks):
        text = f"{text}, {by_size} of them by size only: S3 has no SHA-1 of them, --deep reads them"
    return Result(
        text=text,
        facts={
            "manifest": arguments.manifest,
            "signature_checked": arguments.cert is not None,
            "image_checked": is_image_checked,
            "by_size_only_count": by_size,
            "retry_count": retry_count,
            "parts": [
                {
                    "filename": check.part.filename,
                    "size": check.size,
                    "digest_checked": check.is_proven,
                }
                for check in checks
            ],
        },
    )
