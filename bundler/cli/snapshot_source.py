"""EBS snapshots and EBS-backed AMIs that bundles are made from.

Slow to import, as AWS's library is: see cli/cloud.py.
"""

import argparse
import logging

from bundler.aws.ebs import EbsSnapshotStore
from bundler.aws.ebs_reader import EbsBlockReader
from bundler.aws.images import require_image
from bundler.aws.session import Cloud
from bundler.cli.bundle_source import OpenedSource, with_defaults
from bundler.cli.cloud import api_of, open_cloud
from bundler.errors import AwsRefusedError, UsageError
from bundler.model.bundle import MAX_NAME_SIZE
from bundler.model.described_image import DescribedImage
from bundler.model.image import Architecture, VirtualizationType
from bundler.workflow.snapshot_source import SnapshotSource

_logger = logging.getLogger(__name__)


def open_snapshot_source(arguments: argparse.Namespace, source_id: str) -> OpenedSource:
    """The image that a snapshot's id names, or that of an EBS-backed AMI; no block is read yet.

    Raises:
        UsageError: the AMI is S3-backed, or AWS's configuration is wrong.
        AwsRefusedError: there is no such snapshot or AMI, or it cannot be read.
        TransferError: AWS cannot be reached.
    """
    cloud = open_cloud(arguments)
    if source_id.startswith("snap-"):
        return OpenedSource(
            source=_open(cloud, source_id),
            name=source_id,
            arguments=with_defaults(arguments),
            cloud=cloud,
            ids={"snapshot_id": source_id},
        )
    ami = require_image(api_of(cloud), source_id, arguments.command)
    _check_ebs_backed(ami, arguments.command)
    _logger.info("the root device of %s is made from %s", source_id, ami.root_snapshot_id)
    return OpenedSource(
        source=_open(cloud, ami.root_snapshot_id),
        name=_bundle_name(ami),
        arguments=_inherit(arguments, ami),
        cloud=cloud,
        ids={"snapshot_id": ami.root_snapshot_id, "source_image_id": source_id},
    )


def _open(cloud: Cloud, snapshot_id: str) -> SnapshotSource:
    ebs = cloud.ebs()
    snapshot = EbsSnapshotStore(ebs, cloud.ec2(), cloud.transport).describe(snapshot_id)
    if snapshot is None:
        raise AwsRefusedError(
            f"read snapshot {snapshot_id}: there is no such snapshot in {cloud.region}, or it is "
            "not shared with this account; check the id and the region",
            code="InvalidSnapshot.NotFound",
        )
    return SnapshotSource(EbsBlockReader(ebs, cloud.transport), snapshot)


def _check_ebs_backed(ami: DescribedImage, command: str) -> None:
    subject = f"{command} {ami.image_id}"
    if ami.is_s3_backed:
        place = ami.location.strip("/")
        raise UsageError(
            f"{subject}: expected an EBS-backed AMI, got an S3-backed one, which has a bundle: "
            f"ami-bundler unbundle, or download, s3://{place or 'BUCKET/KEY'}"
        )
    if not ami.root_snapshot_id:
        raise AwsRefusedError(
            f"{subject}: EC2 tells no snapshot of its root device; give the snapshot's id"
        )


def _bundle_name(ami: DescribedImage) -> str:
    """The AMI's name as a file can have it, else its id."""
    return ami.name.replace("/", "-")[:MAX_NAME_SIZE].strip(" .") or ami.image_id


def _inherit(arguments: argparse.Namespace, ami: DescribedImage) -> argparse.Namespace:
    """What the AMI tells where the options say nothing."""
    # Others, such as x86_64_mac, are of no S3-backed AMI: then the image tells.
    is_known = ami.architecture in set(Architecture)
    found = with_defaults(
        arguments,
        virtualization_type=ami.virtualization_type or VirtualizationType.HVM.value,
        arch=ami.architecture if is_known else "",
        block_device_mapping=[
            f"{mapping.virtual}={mapping.device.removeprefix('/dev/')}"
            for mapping in ami.mappings
            if mapping.virtual
        ],
    )
    kind = vars(found).get("virtualization_type", ami.virtualization_type)
    if kind != VirtualizationType.PARAVIRTUAL:
        return found
    return with_defaults(found, kernel=ami.kernel_id, ramdisk=ami.ramdisk_id)
