"""ami-bundler unbundle."""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from bundler.cli.console import Console, Result
from bundler.cli.options import (
    add_certificate_option,
    add_cloud_options,
    add_force_option,
    add_parts_option,
    add_passphrase_option,
    add_transfer_options,
    is_url,
    parse_path,
    passphrase,
    path_option,
)
from bundler.errors import UsageError
from bundler.host.files import check_absent, check_directory
from bundler.host.processors import processor_count
from bundler.workflow.keys import load_certificate, load_private_key
from bundler.workflow.manifest_file import (
    is_signed_by,
    open_secret,
    read_manifest,
    verify_manifest,
)
from bundler.workflow.part_files import read_parts
from bundler.workflow.stored_parts import read_stored_parts
from bundler.workflow.unbundle import unbundle

if TYPE_CHECKING:
    from bundler.cli.stored import StoredBundle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "manifest",
        metavar="MANIFEST",
        help="a file, or s3://BUCKET/KEY: then nothing but the image is written to the disk",
    )
    parser.add_argument(
        "--key", "-k", type=parse_path, metavar="PEM", help="private key (default: EC2_PRIVATE_KEY)"
    )
    parser.add_argument("--output", "-o", type=parse_path, required=True, metavar="IMAGE")
    add_certificate_option(parser)
    add_parts_option(parser)
    parser.add_argument(
        "--as-ec2", action="store_true", help="the key is the cloud's, not the user's"
    )
    add_passphrase_option(parser)
    add_force_option(parser, "an existing image")
    add_transfer_options(parser)
    add_cloud_options(parser)


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """Turn a bundle back into an image."""
    output: Path = arguments.output
    certificate = load_certificate(arguments.cert) if arguments.cert else None
    bundle = _open_stored(arguments) if is_url(arguments.manifest) else None
    path = Path(arguments.manifest)
    signed = bundle.fetch() if bundle else read_manifest(path)
    manifest = verify_manifest(signed, certificate) if certificate else signed.manifest
    directory: Path = arguments.parts or path.parent
    inputs = [] if bundle else [path, *(directory / part.filename for part in manifest.parts)]
    _check_no_input(output, [*inputs, arguments.key, arguments.cert])
    check_directory(output.parent)
    check_absent(output, force=arguments.force)
    key_path = path_option(arguments, "key", "EC2_PRIVATE_KEY")
    key = load_private_key(key_path, passphrase(arguments, console, key_path))
    secret = open_secret(manifest, key, as_ec2=arguments.as_ec2)
    if certificate is None and is_signed_by(signed, key.public_key()):
        console.warn("no --cert is given: the signature fits the private key, that is all")
    elif certificate is None:
        console.warn("the signature is not checked: no --cert is given")
    unbundle(
        manifest,
        read_stored_parts(bundle.store, manifest) if bundle else read_parts(directory, manifest),
        secret,
        output,
        force=arguments.force,
        workers=processor_count(),
        progress=console,
    )
    return Result(
        text=str(output),
        facts={
            "image": str(output),
            "size": manifest.size,
            "signature_checked": certificate is not None,
            "retry_count": bundle.cloud.transport.retry_count if bundle else 0,
        },
    )


def _open_stored(arguments: argparse.Namespace) -> "StoredBundle":
    if arguments.parts:
        raise UsageError("unbundle: --parts is for bundles on the disk")
    from bundler.cli.stored import open_stored  # slow to import

    return open_stored(arguments, arguments.manifest)


def _check_no_input(output: Path, inputs: Iterable[Path | None]) -> None:
    """Refuse to replace what the image is made from, even with --force.

    Raises:
        UsageError: the output is one of the inputs.
    """
    target = output.resolve()
    for path in inputs:
        if path is not None and path.resolve() == target:
            raise UsageError(f"write {output}: this is one of the inputs")
