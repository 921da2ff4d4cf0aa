"""The bundle behind an S3-backed AMI, for commands that show or share AMIs."""

import threading

from bundler.aws.object_acl import find_access
from bundler.aws.session import Cloud
from bundler.cli.cloud import open_store
from bundler.cli.console import Console
from bundler.cli.table import format_size
from bundler.errors import UsageError
from bundler.model.described_image import DescribedImage
from bundler.model.image import ImageLocation
from bundler.model.listed import monthly_cost
from bundler.model.object_access import ObjectAccess
from bundler.workflow.registered_bundle import RegisteredBundle, RegisteredState, look_at_bundle


def bundle_of(cloud: Cloud, image: DescribedImage, console: Console) -> RegisteredBundle | None:
    """The bundle that an S3-backed AMI was registered from; None: EC2 does not tell where it is."""
    try:
        location = ImageLocation.parse(image.location.strip("/"))
    except UsageError:
        return None
    directory, _, file_name = location.key.rpartition("/")
    if not file_name:
        return None
    store = open_store(cloud, ImageLocation(bucket=location.bucket, key=directory))
    client = cloud.s3()
    stopped = threading.Event()
    try:
        return look_at_bundle(
            store,
            file_name,
            find_access=lambda one: find_access(client, one, cloud.transport, stopped=stopped),
            progress=console,
        )
    finally:
        stopped.set()  # so that nothing is tried again of what nobody waits for any more


def bundle_facts(bundle: RegisteredBundle | None, price: float | None) -> dict[str, object] | None:
    """For programs; what is not known is null."""
    if bundle is None:
        return None
    is_complete = bundle.state is RegisteredState.COMPLETE
    cost = monthly_cost(bundle.size, bundle.storage_classes, price) if is_complete else None
    return {
        "manifest": bundle.location.url,
        "state": bundle.state.value,
        "problem": bundle.problem,
        "size": bundle.size if is_complete else None,
        "part_count": bundle.part_count if is_complete else None,
        "proven_part_count": bundle.proven_count if is_complete else None,
        "signature_checked": False,
        "readable_by_ec2": bundle.is_shared,
        "readable_by": bundle.access.value,
        "acl_count": bundle.acl_count,
        "storage_classes": sorted(bundle.storage_classes),
        "usd_per_month": None if cost is None else round(cost, 6),
    }


def describe_bundle(bundle: RegisteredBundle | None, price: float | None) -> list[tuple[str, str]]:
    """For people: what is said, line by line."""
    if bundle is None:
        return [("bundle", "EC2 does not tell where it is")]
    if bundle.state is not RegisteredState.COMPLETE:
        return [("bundle", f"{bundle.state.value}: {bundle.problem}")]
    by_size = bundle.part_count - bundle.proven_count
    proof = f"{bundle.proven_count} of {bundle.part_count} parts proven by the SHA-1 that S3 keeps"
    proof += f", {by_size} known by size only" if by_size else ""
    cost = monthly_cost(bundle.size, bundle.storage_classes, price)
    usd = "unknown" if cost is None else "<0.01" if cost < 0.01 else f"{cost:.2f}"
    return [
        ("bundle", f"complete: {proof}; signature not checked (ami-bundler verify does)"),
        ("readable by EC2", f"{_READABLE[bundle.access]} ({describe_acls(bundle)})"),
        ("size", f"{format_size(bundle.size)}, {usd} USD a month"),
    ]


def describe_acls(bundle: RegisteredBundle) -> str:
    """How many objects' ACLs were looked at."""
    return f"ACLs of {bundle.acl_count} of {bundle.object_count} objects looked at"


_READABLE = {
    ObjectAccess.OWNER: "probably not: by their ACLs manifest or parts are the owner's alone; "
    "upload them with the ACL aws-exec-read",
    ObjectAccess.EC2: "yes, by their ACLs",
    ObjectAccess.OTHERS: "probably: the ACLs let others than the owner read it",
    ObjectAccess.EVERYBODY: "yes: the ACLs let everybody read it",
    ObjectAccess.HIDDEN: "not known: the ACLs are hidden",
}
