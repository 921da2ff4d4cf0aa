"""EBS-backed AMIs, to have something beside S3-backed ones."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

HVM: dict[str, Any] = {"VirtualizationType": "hvm", "Architecture": "x86_64"}
"""What most AMIs are."""


def make_snapshot(ec2: "EC2Client", *, size: int = 3) -> str:
    """A snapshot of a volume of `size` GiB that is gone; its id."""
    (zone, *_) = ec2.describe_availability_zones()["AvailabilityZones"]
    volume = ec2.create_volume(Size=size, AvailabilityZone=zone["ZoneName"])["VolumeId"]
    snapshot = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    ec2.delete_volume(VolumeId=volume)
    return snapshot


EPHEMERAL: Any = {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"}
"""An instance store volume."""


def register_ebs(ec2: "EC2Client", snapshot: str, *more: Any, name: str = "ebs") -> str:
    """An AMI whose root is a snapshot, with more block device mappings; its id."""
    mappings: Any = [{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot}}, *more]
    return ec2.register_image(
        Name=name, RootDeviceName="/dev/xvda", BlockDeviceMappings=mappings, **HVM
    )["ImageId"]


def run_ebs_instance(ec2: "EC2Client") -> str:
    """An instance whose AMI and snapshot are gone, so that nothing else is there; its id."""
    image_id = register_ebs(ec2, make_snapshot(ec2), name="base")
    reply = ec2.run_instances(ImageId=image_id, InstanceType="m3.medium", MinCount=1, MaxCount=1)
    ec2.deregister_image(ImageId=image_id, DeleteAssociatedSnapshots=True)
    return reply["Instances"][0]["InstanceId"]
