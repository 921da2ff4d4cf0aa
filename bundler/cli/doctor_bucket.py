"""doctor's checks of a bucket, and of the bundle that is, or will be, in it."""

import secrets
from collections.abc import Callable, Iterator
from functools import cached_property

from bundler.aws.bucket import PUBLIC_ACL, S3Bucket
from bundler.aws.probe import remove_versions
from bundler.aws.s3 import NO_ACL, S3BundleStore
from bundler.cli.cloud import open_store
from bundler.cli.doctor_case import NO_URL, Case
from bundler.cli.doctor_cloud import CloudChecks
from bundler.cli.options import choice
from bundler.cli.stored import StoredBundle, split_manifest_url
from bundler.errors import AwsRefusedError
from bundler.model.image import Architecture, ImageLocation
from bundler.model.manifest import SignedManifest
from bundler.workflow.cloud_checks import (
    check_no_bundle,
    check_parts,
    judge_bucket,
    judge_encryption,
    judge_ownership,
    judge_payer,
    judge_versioning,
)
from bundler.workflow.doctor import Check, Finding, Task
from bundler.workflow.keys import load_certificate
from bundler.workflow.manifest_file import verify_manifest
from bundler.workflow.probe_object import ProbeObject

NO_BUCKET_YET = "there is no bucket yet"
PROBE_PREFIX = ".ami-bundler-probe-"
"""What the probe object's name begins with."""


class BucketChecks:
    """What a location in S3 is like, and takes."""

    def __init__(self, case: Case, cloud: CloudChecks) -> None:
        self._case = case
        self._arguments = case.arguments
        self._cloud = cloud
        self._is_there = True
        self._is_versioned = False
        self._must_enable_acls = False

    def checks(self) -> Iterator[Check]:
        """Those that matter for the task."""
        if self._case.location is None:
            yield Check(name="bucket", look=self.no_bucket)
            return
        needs = ("region", "credentials", "clock", "identity")
        yield Check(name="bucket", look=self.bucket, needs=needs)
        yield Check(name="payer", look=self._if_there("payer", self.payer), needs=("bucket",))
        if self._case.task is Task.PUBLISH:
            yield from self._write_checks()
        else:
            yield Check(name="manifest", look=self.manifest, needs=("bucket",))
            yield Check(name="parts", look=self.parts, needs=("manifest",))
            yield Check(name="signature", look=self.signature, needs=("manifest",))
            yield Check(name="architecture", look=self.architecture, needs=("manifest",))

    def _write_checks(self) -> Iterator[Check]:
        steps: dict[str, Callable[[], Iterator[Finding]]] = {
            "ownership": self.ownership,
            "public-access": self.public_access,
            "encryption": self.encryption,
            "versioning": self.versioning,
            "bundle": self.bundle,
            "probe": self.probe,
        }
        for name, step in steps.items():
            needs = ("bucket", "ownership") if name == "probe" else ("bucket",)
            if name != "public-access" or self._acl == PUBLIC_ACL:
                yield Check(name=name, look=self._if_there(name, step), needs=needs)

    def _if_there(
        self, name: str, step: Callable[[], Iterator[Finding]]
    ) -> Callable[[], Iterator[Finding]]:
        """The step, or a word that there is no bucket to look at."""

        def look() -> Iterator[Finding]:
            if self._is_there:
                yield from step()
            else:
                yield Finding.skip(name, NO_BUCKET_YET)

        return look

    def no_bucket(self) -> Iterator[Finding]:
        """There is nothing to look at."""
        yield Finding.skip("bucket", NO_URL)

    def bucket(self) -> Iterator[Finding]:
        """Whether it is there, and where."""
        found = self._bucket.region()
        self._is_there = found is not None
        yield judge_bucket(
            self._bucket.name,
            found,
            self._case.region,
            may_be_made=self._case.task is Task.PUBLISH,
        )

    def payer(self) -> Iterator[Finding]:
        """Who pays."""
        yield judge_payer(
            is_requester=self._bucket.is_requester_paying(),
            may_pay=self._arguments.request_payer,
        )

    def ownership(self) -> Iterator[Finding]:
        """Whether objects may have ACLs."""
        found = self._bucket.ownership()
        self._must_enable_acls = bool(self._acl) and found == "BucketOwnerEnforced"
        yield judge_ownership(found, self._acl, may_enable=self._arguments.enable_acls)

    def public_access(self) -> Iterator[Finding]:
        """Whether everybody may be let in."""
        if self._bucket.blocks_public_acls():
            remedy = "give another --acl, or let the bucket's public access block allow it"
            words = f"{self._bucket.url} refuses the ACL {PUBLIC_ACL}"
            yield Finding.fail("public-access", words, remedy, error=AwsRefusedError)
        else:
            yield Finding.ok("public-access", "not blocked, or hidden")

    def encryption(self) -> Iterator[Finding]:
        """What S3 encrypts with."""
        yield judge_encryption(self._bucket.encryption())

    def versioning(self) -> Iterator[Finding]:
        """Whether what is removed stays."""
        self._is_versioned = self._bucket.is_versioned()
        yield judge_versioning(is_versioned=self._is_versioned)

    def bundle(self) -> Iterator[Finding]:
        """Whether there is a bundle of that name."""
        if not self._case.bundle_name:
            yield Finding.skip("bundle", "no IMAGE and no --bundle-name is given")
            return
        store = self._store(NO_ACL)
        yield from check_no_bundle(
            store,
            self._case.bundle_name,
            force=self._arguments.force,
            may_be_ours=self._case.is_unfinished,
        )

    def probe(self) -> Iterator[Finding]:
        """Whether S3 takes an object."""
        if self._arguments.no_probe:
            yield Finding.skip("probe", "--no-probe is given")
            return
        if self._must_enable_acls:
            yield Finding.skip("probe", "ACLs are not enabled yet")
            return
        name = f"{PROBE_PREFIX}{secrets.token_hex(8)}"
        store = self._store(self._acl)
        bare = self._store(NO_ACL) if self._acl else None

        def remove() -> None:
            if self._is_versioned:
                client, transport = self._cloud.cloud.s3(), self._cloud.cloud.transport
                remove_versions(client, store.location.join(name), transport)
            else:
                store.delete((name,))

        yield from ProbeObject(store, bare, name, remove=remove).try_out()

    def manifest(self) -> Iterator[Finding]:
        """Whether it can be read."""
        if not self._case.has_manifest and self._case.task is Task.CONVERT:
            yield Finding.skip("manifest", "no manifest's URL is given")
            return
        manifest = self._signed.manifest
        words = f"{self._stored.location.url}: version {manifest.version}, {manifest.name}"
        yield Finding.ok("manifest", words)

    def parts(self) -> Iterator[Finding]:
        """Whether all are there."""
        manifest, console = self._signed.manifest, self._case.console
        yield from check_parts(self._stored.store, manifest, console)

    def signature(self) -> Iterator[Finding]:
        """Who has signed."""
        if not self._arguments.cert:
            yield Finding.skip("signature", "no --cert is given")
            return
        verify_manifest(self._signed, load_certificate(self._arguments.cert))
        yield Finding.ok("signature", f"holds, by {self._arguments.cert}")

    def architecture(self) -> Iterator[Finding]:
        """What the AMI will be registered for."""
        words = self._arguments.arch or self._signed.manifest.architecture
        self._case.architecture = choice("--arch", words, Architecture)
        by = "--arch" if self._arguments.arch else "the manifest"
        yield Finding.ok("architecture", f"{words}, by {by}")

    @property
    def _acl(self) -> str:
        """Empty when none is sent."""
        return "" if self._arguments.acl == NO_ACL else self._arguments.acl

    @cached_property
    def _location(self) -> ImageLocation:
        assert self._case.location is not None  # noqa: S101  who asks needs check "bucket"
        return self._case.location

    @cached_property
    def _bucket(self) -> S3Bucket:
        cloud = self._cloud.cloud
        return S3Bucket(cloud.s3(), self._location.bucket, cloud.transport)

    def _store(self, acl: str) -> S3BundleStore:
        return open_store(self._cloud.cloud, self._location, acl=acl or NO_ACL)

    @cached_property
    def _stored(self) -> StoredBundle:
        prefix, file_name = split_manifest_url(self._location.url, self._arguments.command)
        cloud = self._cloud.cloud
        return StoredBundle(cloud=cloud, store=open_store(cloud, prefix), file_name=file_name)

    @cached_property
    def _signed(self) -> SignedManifest:
        return self._stored.fetch()
