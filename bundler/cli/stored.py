"""Bundles in S3 that commands read: where they lie, and the store that has them.

Slow to import, as AWS's library is: see cli/cloud.py.
"""

import argparse
from dataclasses import dataclass

from bundler.aws.s3 import S3BundleStore
from bundler.aws.session import Cloud
from bundler.cli.cloud import open_cloud, open_store
from bundler.errors import UsageError
from bundler.model.file_name import MANIFEST_SUFFIX
from bundler.model.image import ImageLocation
from bundler.model.manifest import SignedManifest
from bundler.workflow.manifest_file import fetch_manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBundle:
    """A bundle in S3 by its manifest."""

    cloud: Cloud
    store: S3BundleStore
    """The objects beside the manifest."""
    file_name: str
    """The manifest's name in the store."""

    @property
    def name(self) -> str:
        """The manifest's name without its suffix."""
        return self.file_name.removesuffix(MANIFEST_SUFFIX)

    @property
    def location(self) -> ImageLocation:
        """The manifest."""
        return self.store.location.join(self.file_name)

    def fetch(self) -> SignedManifest:
        """The manifest, nothing of it verified."""
        return fetch_manifest(self.store, self.file_name)[0]


def split_manifest_url(url: str, command: str) -> tuple[ImageLocation, str]:
    """The prefix and the file name of a manifest in S3.

    Raises:
        UsageError: not a manifest's URL.
    """
    location = ImageLocation.parse(url)
    directory, _, file_name = location.key.rpartition("/")
    if not file_name.endswith(MANIFEST_SUFFIX) or file_name == MANIFEST_SUFFIX:
        raise UsageError(
            f"{command} {location.url}: expected s3://BUCKET/[PREFIX/]NAME{MANIFEST_SUFFIX}"
        )
    return ImageLocation(bucket=location.bucket, key=directory), file_name


def open_stored(arguments: argparse.Namespace, url: str) -> StoredBundle:
    """The bundle in S3 that an argument names; nothing is sent yet.

    Raises:
        UsageError: not a manifest's URL, or AWS's configuration is wrong.
    """
    prefix, file_name = split_manifest_url(url, arguments.command)
    cloud = open_cloud(arguments)
    return StoredBundle(cloud=cloud, store=open_store(cloud, prefix), file_name=file_name)
