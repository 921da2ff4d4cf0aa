"""What convert is given: a manifest on the disk, one in S3, or the AMI that was made of it."""

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bundler.aws.ebs_images import EbsImageRegistry
from bundler.aws.session import Cloud
from bundler.cli.cloud import open_store
from bundler.cli.console import Console
from bundler.cli.options import (
    add_certificate_option,
    add_parts_option,
    is_url,
    parse_path,
    passphrase,
    path_option,
)
from bundler.cli.stored import StoredBundle, split_manifest_url
from bundler.errors import AwsRefusedError, InputError, UsageError
from bundler.model.bundle import BundleKey
from bundler.model.described_image import DescribedImage
from bundler.model.file_name import MANIFEST_SUFFIX
from bundler.model.image import ImageType
from bundler.model.manifest import Manifest, SignedManifest
from bundler.workflow.keys import load_certificate, load_private_key
from bundler.workflow.manifest_file import (
    is_signed_by,
    open_secret,
    read_manifest,
    verify_manifest,
)
from bundler.workflow.part_files import check_parts_present, read_parts
from bundler.workflow.stored_parts import read_stored_parts

_AMI_ID = re.compile(r"ami-[0-9a-f]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertSource:
    """A bundle, its key, and where it is from."""

    place: str
    """URL, or absolute path, of the manifest."""
    manifest: Manifest
    secret: BundleKey
    is_signature_checked: bool
    stored: StoredBundle | None
    """None: it is on the disk."""
    directory: Path
    """Of parts on the disk."""
    ami: DescribedImage | None

    def parts(self) -> Iterator[bytes]:
        """The bytes of all parts, each verified before it is used.

        Raises:
            MissingError, VerificationError: a part is absent or damaged.
            AwsRefusedError, TransferError: S3 refuses, or cannot be reached.
        """
        if self.stored is not None:
            return read_stored_parts(self.stored.store, self.manifest)
        return read_parts(self.directory, self.manifest)


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """SOURCE, and what opens it."""
    parser.add_argument(
        "source", metavar="SOURCE", help="an S3-backed AMI's id, s3://BUCKET/KEY, or a manifest"
    )
    parser.add_argument(
        "--key", "-k", type=parse_path, metavar="PEM", help="private key (default: EC2_PRIVATE_KEY)"
    )
    add_certificate_option(parser)
    add_parts_option(parser)
    parser.add_argument(
        "--as-ec2", action="store_true", help="the key is the cloud's, not the user's"
    )


def is_local(source: str) -> bool:
    """Whether SOURCE is a manifest on this machine, for which nothing is asked of AWS."""
    return not (_AMI_ID.fullmatch(source) or is_url(source))


def open_source(
    arguments: argparse.Namespace, cloud: Cloud | None, console: Console
) -> ConvertSource:
    """Find and open the bundle; parts are not read yet.  Where it is_local() no cloud is needed.

    Raises:
        UsageError: SOURCE is an AMI that is not S3-backed, or names no manifest.
        InputError: it is no bundle of a machine image.
        VerificationError: signature or key do not hold.
        MissingError, AwsRefusedError, TransferError: it is not there, or cannot be had.
    """
    certificate = load_certificate(arguments.cert) if arguments.cert else None
    key_path = path_option(arguments, "key", "EC2_PRIVATE_KEY")
    ami = _find_ami(arguments.source, cloud) if cloud else None
    stored = _find_stored(arguments, cloud, ami) if cloud else None
    path = Path(arguments.source)
    signed = stored.fetch() if stored else _read_file(path)
    manifest = verify_manifest(signed, certificate) if certificate else signed.manifest
    if manifest.image_type is not ImageType.MACHINE:
        raise InputError(
            f"convert {arguments.source}: expected a machine image, got a {manifest.image_type}"
        )
    directory: Path = arguments.parts or path.parent
    if stored is None:
        check_parts_present(directory, manifest)
    key = load_private_key(key_path, passphrase(arguments, console, key_path))
    secret = open_secret(manifest, key, as_ec2=arguments.as_ec2)
    if certificate is None:
        _warn_unchecked(is_ours=is_signed_by(signed, key.public_key()), console=console)
    return ConvertSource(
        place=stored.location.url if stored else str(path.resolve()),
        manifest=manifest,
        secret=secret,
        is_signature_checked=certificate is not None,
        stored=stored,
        directory=directory,
        ami=ami,
    )


def _read_file(path: Path) -> SignedManifest:
    try:
        return read_manifest(path)
    except InputError as error:
        if path.name.endswith(MANIFEST_SUFFIX):
            raise
        raise InputError(
            f"{error}; convert takes a bundle's manifest: of a raw image, ami-bundler snapshot "
            "makes an EBS snapshot"
        ) from error


def _find_ami(source: str, cloud: Cloud) -> DescribedImage | None:
    if not _AMI_ID.fullmatch(source):
        return None
    images = EbsImageRegistry(cloud.ec2(), cloud.transport)
    ami = images.describe_old(source)
    if not ami.location.strip("/").endswith(MANIFEST_SUFFIX):
        raise AwsRefusedError(
            f"convert {source}: EC2 tells no manifest of it; give the manifest's s3:// URL"
        )
    return ami


def _find_stored(
    arguments: argparse.Namespace, cloud: Cloud, ami: DescribedImage | None
) -> StoredBundle | None:
    url = f"s3://{ami.location.strip('/')}" if ami else arguments.source
    if not is_url(url):
        return None
    if arguments.parts:
        raise UsageError("convert: --parts is for bundles on the disk")
    prefix, file_name = split_manifest_url(url, arguments.command)
    return StoredBundle(cloud=cloud, store=open_store(cloud, prefix), file_name=file_name)


def _warn_unchecked(*, is_ours: bool, console: Console) -> None:
    if is_ours:
        console.warn("no --cert is given: the signature fits the private key, that is all")
    else:
        console.warn("the signature is not checked: no --cert is given")
