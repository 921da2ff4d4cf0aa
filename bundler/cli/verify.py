"""ami-bundler verify."""

import argparse
from pathlib import Path

from bundler.cli.console import Console, Result
from bundler.cli.options import add_passphrase_option, passphrase, path_option
from bundler.errors import UsageError
from bundler.host.processors import processor_count
from bundler.model.manifest import Manifest
from bundler.workflow.keys import load_certificate, load_private_key
from bundler.workflow.manifest_file import open_secret, read_manifest, verify_manifest
from bundler.workflow.part_files import read_parts
from bundler.workflow.unbundle import check_image
from bundler.workflow.verify import verify_parts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("manifest", type=Path, metavar="MANIFEST")
    parser.add_argument(
        "--cert", "-c", type=Path, metavar="PEM", help="of whoever signed; checks the signature"
    )
    parser.add_argument(
        "--parts", "-s", type=Path, metavar="DIR", help="default: the manifest's directory"
    )
    parser.add_argument(
        "--deep",
        action="store_true",
        help="decrypt and unpack too: the tar stream's digest and the image's size",
    )
    parser.add_argument(
        "--key", "-k", type=Path, metavar="PEM", help="for --deep (default: EC2_PRIVATE_KEY)"
    )
    parser.add_argument(
        "--as-ec2", action="store_true", help="the key is the cloud's, not the user's"
    )
    add_passphrase_option(parser)


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """Check a bundle."""
    if arguments.key and not arguments.deep:
        raise UsageError("verify: --key is for --deep")
    signed = read_manifest(arguments.manifest)
    if arguments.cert:
        manifest: Manifest = verify_manifest(signed, load_certificate(arguments.cert))
    else:
        console.warn("the signature is not checked: no --cert is given")
        manifest = signed.manifest
    directory = arguments.parts or arguments.manifest.parent
    secret = None
    if arguments.deep:
        key_path = path_option(arguments, "key", "EC2_PRIVATE_KEY")
        key = load_private_key(key_path, passphrase(arguments, console, key_path))
        secret = open_secret(manifest, key, as_ec2=arguments.as_ec2)
    checks = verify_parts(manifest, directory, workers=processor_count(), progress=console)
    if secret is not None:
        parts = read_parts(directory, manifest)
        check_image(manifest, parts, secret, workers=processor_count(), progress=console)
    return Result(
        text=f"{arguments.manifest}: ok, {len(checks)} parts",
        facts={
            "manifest": str(arguments.manifest),
            "signature_checked": arguments.cert is not None,
            "image_checked": secret is not None,
            "parts": [{"filename": check.part.filename, "size": check.size} for check in checks],
        },
    )
