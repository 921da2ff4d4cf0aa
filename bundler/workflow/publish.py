"""Image file to S3 in one pass: no bundle on the local disk, and resumable."""

import logging
from collections.abc import Callable
from dataclasses import replace

from bundler.errors import AwsRefusedError, VerificationError
from bundler.model.bundle import BundleKey
from bundler.model.digest import Digest
from bundler.model.file_name import manifest_name
from bundler.model.image import Ami, ImageLocation
from bundler.model.registration import Registration
from bundler.stages.tap import sha1_digest
from bundler.workflow.bundle_image import (
    Bundle,
    BundleKeys,
    BundlePlan,
    BundleSpec,
    bundle_image,
)
from bundler.workflow.keys import new_bundle_key
from bundler.workflow.manifest_file import fetch_manifest, manifest_sha1
from bundler.workflow.ports import BundleStore, ImageRegistry, Progress
from bundler.workflow.publish_state import (
    EarlierRun,
    PartChangedError,
    PublishState,
    describe_manifest,
)
from bundler.workflow.upload import FoundBundle, StoreSink
from bundler.workflow.verify import verify_stored_parts

ANEW = "starting over with a new key"
"""What is said when an interrupted run cannot be continued."""

_logger = logging.getLogger(__name__)


class _RememberingSink:
    """A PartSink that remembers each part, and the manifest, before it passes it on."""

    def __init__(self, sink: StoreSink, state: PublishState, described: str) -> None:
        self._sink = sink
        self._state = state
        self._described = described

    def put_part(self, index: int, data: bytes, digest: Digest) -> None:
        self._state.keep_part(index, digest)
        self._sink.put_part(index, data, digest)

    def part_names(self, count: int) -> tuple[str, ...]:
        return self._sink.part_names(count)

    def put_manifest(self, document: bytes) -> None:
        self._state.keep_manifest(sha1_digest(document), self._described)
        self._sink.put_manifest(document)


def publish_bundle(
    make_plan: Callable[[], BundlePlan],
    spec: BundleSpec,
    keys: BundleKeys,
    store: BundleStore,
    *,
    found: FoundBundle,
    state: PublishState,
    earlier: EarlierRun | None,
    workers: int,
    progress: Progress,
    new_secret: Callable[[], BundleKey] = new_bundle_key,
) -> Bundle:
    """Bundle an image straight into S3; the manifest is sent when every part has arrived.

    With `earlier` its key and holes are used again, so that the same parts come out, and
    those that S3 holds are not sent again.  When a part comes out different after all, no
    two contents may share a key: it begins again with a new one.

    Memory: the parts on their way, which the store bounds, and what bundle_image() holds;
    a slow network makes the bundling wait.

    Raises:
        InputError: the image changed while it was read.
        ExistsError: somebody else has written the bundle meanwhile.
        HostError, AwsRefusedError, TransferError: from reading the image or from S3.
    """

    def run(plan: BundlePlan, secret: BundleKey, found: FoundBundle) -> Bundle:
        most_parts = -(-plan.worst_size // spec.part_size)
        sink = StoreSink(store, most_parts, found, resume=earlier is not None)
        described = describe_manifest(plan.source, spec, keys.ec2)
        return bundle_image(
            plan,
            spec,
            keys,
            _RememberingSink(sink, state, described),
            secret=secret,
            workers=workers,
            progress=progress,
        )

    def run_anew(found: FoundBundle) -> Bundle:
        plan, secret = make_plan(), new_secret()
        state.begin(plan.extents, secret, keys.user)
        return run(plan, secret, found)

    try:
        if earlier is None:
            bundle = run_anew(found)
        else:
            try:
                plan = make_plan().with_extents(earlier.extents)
                bundle = run(plan, earlier.secret, found)
            except PartChangedError:
                _logger.warning("%s: a part comes out different than before; %s", spec.name, ANEW)
                store.flush()
                bundle = run_anew(replace(found, has_own_parts=True))
    except BaseException:
        store.cancel()
        raise
    return bundle


def find_whole_bundle(
    store: BundleStore,
    found: FoundBundle,
    earlier: EarlierRun | None,
    *,
    described: str,
    progress: Progress,
) -> Bundle | None:
    """The bundle that an interrupted run has finished after all, readable for whom it shall be.

    None when there is none; when what it was to say, `described` by describe_manifest(), was
    something else; or when S3 does not have all its parts any more.

    Raises:
        AwsRefusedError, TransferError: S3 refuses, or cannot be reached.
    """
    if not found.is_same or earlier is None:
        return None
    signed, document = fetch_manifest(store, manifest_name(found.name))
    if not described or earlier.manifests.get(manifest_sha1(document)) != described:
        return None
    try:
        verify_stored_parts(store, signed.manifest, progress=progress)
    except VerificationError as error:
        _logger.warning("%s; it is sent again", error)
        return None
    for part in signed.manifest.parts:
        store.grant(part.filename)
    store.grant(manifest_name(found.name))
    store.flush()
    data_size = sum(extent.size for extent in earlier.extents)
    return Bundle(manifest=signed.manifest, document=document, data_size=data_size)


def find_taken_name(
    registry: ImageRegistry, registration: Registration, *, is_ours: bool
) -> Ami | None:
    """The AMI that has the name, if `is_ours` and it is of this very manifest; None: it is free.

    Asked before hours are spent on the bundle.

    Raises:
        AwsRefusedError: another AMI of this account and region has the name.
        TransferError: EC2 cannot be reached.
    """
    ami = registry.find(registration.name)
    if ami is None or (is_ours and ami.location.strip("/") == registration.location.path):
        return ami
    raise name_is_taken(registration.name, ami, registration.location)


def name_is_taken(name: str, ami: Ami, location: ImageLocation | None = None) -> AwsRefusedError:
    """The error that says so; `location` is the manifest that was to be registered."""
    remedy = "choose another, or deregister that AMI"
    if location is not None and ami.location.strip("/") == location.path:
        remedy = (
            f"it is of {location.url}: an earlier run may have done all; ami-bundler register "
            "tells its id; for another image choose another name"
        )
    return AwsRefusedError(
        f"register AMI {name!r}: expected a free name, got one that {ami.image_id} has; {remedy}",
        code="InvalidAMIName.Duplicate",
    )
