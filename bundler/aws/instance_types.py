"""Instance types that can boot an S3-backed AMI."""

from typing import TYPE_CHECKING

from bundler.aws.ec2_api import Ec2Api
from bundler.aws.transport import Transport
from bundler.model.image import Architecture, VirtualizationType

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

PAGE_SIZE = 100
"""Types of one reply.  Source: DescribeInstanceTypes, `MaxResults`."""


def find_instance_types(
    client: "EC2Client",
    transport: Transport,
    *,
    architecture: Architecture | None,
    virtualization_type: VirtualizationType,
) -> tuple[str, ...]:
    """Names, in order, of the region's types that boot such an S3-backed AMI.

    Raises:
        AwsRefusedError: EC2 refused.
        TransferError: EC2 cannot be reached.
    """
    wanted = {
        "supported-root-device-type": "instance-store",
        "supported-virtualization-type": virtualization_type.value,
    }
    if architecture:
        wanted["processor-info.supported-architecture"] = architecture.value
    found = Ec2Api(client, transport).pages(
        "DescribeInstanceTypes",
        "InstanceTypes",
        "look for instance types that boot S3-backed AMIs",
        Filters=[{"Name": name, "Values": [value]} for name, value in wanted.items()],
        MaxResults=PAGE_SIZE,
    )
    return tuple(sorted(item["InstanceType"] for item in found))
