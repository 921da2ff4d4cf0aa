"""The embedded EC2: how it is set up, and what it has done; its requests are moto's to read."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from bundler.embedded.bundle_check import (
    check_bundle,
    parse_location,
    read_verified_parts,
    unwrap,
)
from bundler.embedded.ebs import EmbeddedEbs
from bundler.embedded.objects import ObjectReader
from bundler.embedded.root_volume import RootVolume, rebuild_root_volume
from bundler.errors import BundlerError, MissingError
from bundler.model.manifest import Manifest

LAUNCH_COUNT = 2
"""Root volumes that are rebuilt side by side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ec2Settings:
    """How the embedded EC2 behaves."""

    private_key: RSAPrivateKey | None = field(default=None, repr=False)
    """EC2's own key; without it bundles are looked at and not opened."""
    objects: ObjectReader | None = None
    """The S3 where the bundles are; None: the one that is served beside this EC2."""
    checks_acl: bool = True
    """Whether objects must be readable by EC2; servers other than AWS know no such ACL."""
    pending_looks: int = 0
    """How often a new image is shown pending before it is available."""
    unseen_looks: int = 0
    """How often a new image is not found before it is seen (EC2 is eventually consistent)."""
    held_looks: int = 0
    """How often the name of an image that is gone is still refused to another one."""
    reference_refusal: str = ""
    """The code with which DescribeImageReferences is refused: older EC2s do not know it."""
    access_keys: frozenset[str] = frozenset()
    """Ids of the access keys that are known; none: all are."""
    denied: frozenset[str] = frozenset()
    """Operations that the caller's IAM policies do not allow."""
    clock_lead: timedelta = timedelta()
    """How far EC2's clock is ahead of those of its callers."""
    is_throttling: bool = False
    """Whether the caller has sent too many requests already."""
    copy_quota: int = 100
    """Copies that may be pending in a region.  Source: CopyImage, quotas."""
    blocks_public_access: bool = False
    """Whether no AMI of the account may be made public (EnableImageBlockPublicAccess)."""


class EmbeddedEc2:
    """What one embedded EC2 has seen and made, for all its regions."""

    def __init__(self, settings: Ec2Settings) -> None:
        self.settings = settings
        self.ebs = EmbeddedEbs()
        self.registrations: list[dict[str, Any]] = []
        """Arguments of each RegisterImage, refused ones too."""
        self.lock = threading.Lock()
        """Held while images are made or removed."""
        self.tokens: dict[tuple[str, str], tuple[dict[str, Any], str]] = {}
        """Arguments and image of each request, by its region and ClientToken."""
        self.launches: dict[str, dict[str, Any]] = {}
        """Arguments of each RunInstances by the reservation that it made."""
        self.held_names: dict[tuple[str, str], int] = {}
        """How often a name, by its region, is still to be refused."""
        self.ephemeral: dict[str, tuple[dict[str, Any], ...]] = {}
        """Instance store volumes that each instance maps, by its id."""
        self._volumes: dict[str, Future[RootVolume]] = {}
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(LAUNCH_COUNT, thread_name_prefix="launch")

    def check_bundle(self, objects: ObjectReader, path: str, region: str) -> Manifest:
        """The manifest at BUCKET/KEY, if it can be registered in `region`.

        Raises:
            AwsRefusedError: it cannot.
        """
        return check_bundle(
            objects,
            path,
            region=region,
            private_key=self.settings.private_key,
            checks_acl=self.settings.checks_acl,
        )

    def launch(
        self,
        objects: ObjectReader,
        path: str,
        region: str,
        instance_id: str,
        ended: Callable[[str], object],
    ) -> None:
        """Rebuild the root volume of an S3-backed instance in the background.

        `ended` is told what went wrong, or nothing, before root_volume() returns.
        """

        def work() -> RootVolume:
            try:
                volume = self._rebuild(objects, path, region)
            except BundlerError as error:
                ended(str(error))
                raise
            ended("")
            return volume

        self._volumes[instance_id] = self._pool.submit(work)

    def _rebuild(self, objects: ObjectReader, path: str, region: str) -> RootVolume:
        manifest = self.check_bundle(objects, path, region)
        key = self.settings.private_key
        if key is None:
            return RootVolume(size=manifest.size, sha256="")
        location = parse_location(path)
        parts = read_verified_parts(objects, manifest, location)
        secret = unwrap(manifest, key, location)
        return rebuild_root_volume(manifest, self._until_stopped(parts), secret)

    def root_volume(self, instance_id: str) -> RootVolume:
        """What an S3-backed instance boots from; waits until it is there.

        Raises:
            AwsRefusedError, MissingError, VerificationError: the bundle could not be opened.
        """
        if instance_id not in self._volumes:
            raise MissingError(f"root volume of {instance_id}: there is no such instance")
        return self._volumes[instance_id].result()

    def _until_stopped(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        for part in parts:
            if self._stopped.is_set():
                raise MissingError("the embedded cloud has been stopped")
            yield part

    def close(self) -> None:
        """End what goes on in the background."""
        self._stopped.set()
        self._pool.shutdown(cancel_futures=True)
