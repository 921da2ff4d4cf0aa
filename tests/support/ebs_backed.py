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


def register_ebs(ec2: "EC2Client", snapshot: str, name: str = "ebs") -> str:
    """An AMI whose root is a snapshot, with one instance store volume; its id."""
    mappings: Any = [
        {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot}},
        {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"},
    ]
    return ec2.register_image(
        Name=name, RootDeviceName="/dev/xvda", BlockDeviceMappings=mappings, **HVM
    )["ImageId"]
