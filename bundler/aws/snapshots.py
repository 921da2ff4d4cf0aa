"""EBS snapshots of AMIs and instances."""

from collections.abc import Mapping, Sequence
from typing import Any

from bundler.aws.ec2_api import Ec2Api
from bundler.aws.errors import translated
from bundler.errors import AwsRefusedError
from bundler.model.ec2_call import Ec2Call
from bundler.model.resource_tag import tag_specifications
from bundler.model.snapshot import Snapshot, SnapshotState

REQUEST_TAG = "ami-bundler:request"
"""Key of the tag by which snapshots are found whose making was never answered."""


def delete_snapshot(api: Ec2Api, snapshot_id: str) -> bool:
    """DeleteSnapshot; False when another AMI needs it, and one that is gone is no error.

    Raises:
        AwsRefusedError: EC2 refused.
        TransferError: EC2 could not be reached.
    """
    call = Ec2Call(
        operation="DeleteSnapshot", region=api.region, parameters={"SnapshotId": snapshot_id}
    )
    try:
        api.send(call, f"delete snapshot {snapshot_id}")
    except AwsRefusedError as error:
        if error.code == "InvalidSnapshot.InUse":
            return False
        if error.code != "InvalidSnapshot.NotFound":
            raise
    return True


def describe_snapshots(api: Ec2Api, snapshot_ids: Sequence[str]) -> tuple[Snapshot, ...]:
    """DescribeSnapshots, of those that EC2 knows (yet).

    Raises:
        AwsRefusedError: EC2 refused.
        TransferError: EC2 could not be reached.
    """
    if not snapshot_ids:
        return ()
    # A filter, unlike a list of ids, finds what there is when one is not there.
    filters = [{"Name": "snapshot-id", "Values": list(snapshot_ids)}]
    items = api.pages("DescribeSnapshots", "Snapshots", "describe snapshots", Filters=filters)
    return tuple(map(read_snapshot, items))


def snapshots_call(instance_id: str, region: str, *, description: str, request_id: str) -> Ec2Call:
    """CreateSnapshots of all volumes of an instance, at one moment."""
    parameters: dict[str, object] = {
        "InstanceSpecification": {"InstanceId": instance_id, "ExcludeBootVolume": False},
        "Description": description,
        "CopyTagsFromSource": "volume",
        **tag_specifications(((REQUEST_TAG, request_id),), "snapshot"),
    }
    return Ec2Call(operation="CreateSnapshots", region=region, parameters=parameters)


def create_snapshots(api: Ec2Api, call: Ec2Call, request_id: str) -> tuple[str, ...]:
    """Send a snapshots_call(); the snapshots' ids.

    CreateSnapshots knows no client token.  So when an attempt was not answered, those are
    looked for that it has made, by their tag, before it is made again.

    Raises:
        AwsRefusedError: EC2 refused.
        TransferError: EC2 could not be reached.
    """
    items = api.send_once(
        call,
        "snapshot the volumes of an instance",
        "Snapshots",
        Filters=[{"Name": f"tag:{REQUEST_TAG}", "Values": [request_id]}],
    )
    return tuple(item["SnapshotId"] for item in items)


@translated("read what EC2 tells of a snapshot")
def read_snapshot(told: Mapping[str, Any]) -> Snapshot:
    """A snapshot in a reply of DescribeSnapshots.

    Raises:
        TransferError: it has no id.
    """
    try:
        state = SnapshotState(told.get("State", SnapshotState.PENDING))
    except ValueError:
        # A state that EC2 has invented since is neither good nor bad.
        state = SnapshotState.PENDING
    digits = told.get("Progress", "").rstrip("%")
    return Snapshot(
        snapshot_id=told["SnapshotId"],
        state=state,
        progress=int(digits) if digits.isdecimal() else 0,
        message=told.get("StateMessage", ""),
        volume_size=told.get("VolumeSize", 0),
        is_archived=told.get("StorageTier", "") == "archive",
    )
