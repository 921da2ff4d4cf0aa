"""Image file to S3 in one pass: no bundle on the local disk."""

from dataclasses import dataclass

from bundler.errors import AwsRefusedError
from bundler.model.bundle import BundleKey
from bundler.model.file_name import manifest_name
from bundler.model.image import ImageLocation
from bundler.workflow.bundle_image import (
    Bundle,
    BundleKeys,
    BundlePlan,
    BundleSpec,
    bundle_image,
)
from bundler.workflow.ports import BundleStore, ImageRegistry, Progress
from bundler.workflow.upload import StoreSink


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedBundle:
    """A bundle that is whole in S3."""

    bundle: Bundle
    location: ImageLocation
    """Its manifest."""


def publish_bundle(
    plan: BundlePlan,
    spec: BundleSpec,
    keys: BundleKeys,
    store: BundleStore,
    *,
    old: tuple[str, ...],
    secret: BundleKey,
    workers: int,
    progress: Progress,
) -> PublishedBundle:
    """Bundle an image straight into S3; the manifest is sent when every part has arrived.

    Memory: the parts on their way, which the store bounds, and what bundle_image() holds;
    a slow network makes the bundling wait.  `old` are the objects of the bundle that is
    replaced, see find_old_bundle().

    Raises:
        InputError: the image changed while it was read.
        HostError, AwsRefusedError, TransferError: from reading the image or from S3.
    """
    sink = StoreSink(store, spec.name, -(-plan.worst_size // spec.part_size), old)
    try:
        bundle = bundle_image(
            plan, spec, keys, sink, secret=secret, workers=workers, progress=progress
        )
    except BaseException:
        store.cancel()
        raise
    return PublishedBundle(bundle=bundle, location=store.location.join(manifest_name(spec.name)))


def check_name_free(registry: ImageRegistry, name: str) -> None:
    """Refuse an AMI name that is taken, before hours are spent on the bundle.

    Raises:
        AwsRefusedError: an AMI of this account and region has the name.
        TransferError: EC2 cannot be reached.
    """
    ami = registry.find(name)
    if ami is not None:
        raise AwsRefusedError(
            f"register AMI {name!r}: expected a free name, got one that {ami.image_id} has; "
            "choose another, or deregister that AMI",
            code="InvalidAMIName.Duplicate",
        )
