"""Instance types that can boot an S3-backed AMI."""

from functools import partial
from typing import TYPE_CHECKING

from bundler.aws.transport import Transport
from bundler.errors import TransferError
from bundler.model.image import Architecture, VirtualizationType

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import (
        DescribeInstanceTypesRequestTypeDef,
        DescribeInstanceTypesResultTypeDef,
        FilterTypeDef,
    )

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
    filters: list[FilterTypeDef] = [
        {"Name": name, "Values": [value]} for name, value in wanted.items()
    ]
    request: DescribeInstanceTypesRequestTypeDef = {"Filters": filters, "MaxResults": PAGE_SIZE}
    subject = "look for instance types that boot S3-backed AMIs"
    names: list[str] = []
    while True:
        page = transport.call(subject, partial(_describe, client, request))
        names += [item["InstanceType"] for item in page["InstanceTypes"]]
        following = page.get("NextToken", "")
        if not following:
            return tuple(sorted(names))
        if following == request.get("NextToken"):
            raise TransferError(f"{subject}: EC2 does not tell how to go on")
        request = {**request, "NextToken": following}


def _describe(
    client: "EC2Client", request: "DescribeInstanceTypesRequestTypeDef"
) -> "DescribeInstanceTypesResultTypeDef":
    return client.describe_instance_types(**request)
