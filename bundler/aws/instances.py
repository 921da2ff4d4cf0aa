"""Instances: which types there are for an AMI, launch them, and see what becomes of them."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from bundler.aws.ec2_api import Ec2Api
from bundler.aws.errors import translated
from bundler.errors import AwsRefusedError, TransferError
from bundler.model.ec2_call import Ec2Call
from bundler.model.image import Architecture, VirtualizationType
from bundler.model.image_change import LaunchSpec
from bundler.model.instance import Instance
from bundler.model.resource_tag import tag_specifications

PAGE_SIZE = 100
"""Types of one reply.  Source: DescribeInstanceTypes, `MaxResults`."""


def launch_call(spec: LaunchSpec, region: str) -> Ec2Call:
    """RunInstances, of all the instances or none."""
    parameters: dict[str, object] = {
        "ImageId": spec.image_id,
        "InstanceType": spec.instance_type,
        "MinCount": spec.count,
        "MaxCount": spec.count,
    }
    if spec.key_name:
        parameters["KeyName"] = spec.key_name
    if spec.subnet_id:
        parameters["SubnetId"] = spec.subnet_id
    if spec.security_group_ids:
        parameters["SecurityGroupIds"] = list(spec.security_group_ids)
    if spec.mappings:
        parameters["BlockDeviceMappings"] = [one.request() for one in spec.mappings]
    parameters |= tag_specifications(spec.tags, "instance", "volume")
    parameters["ClientToken"] = spec.client_token
    return Ec2Call(operation="RunInstances", region=region, parameters=parameters)


def launch_instances(api: Ec2Api, spec: LaunchSpec) -> tuple[str, ...]:
    """RunInstances; the ids.  The client token makes it safe to be sent twice.

    Raises:
        AwsRefusedError: EC2 refused.
        TransferError: EC2 could not be reached; the message tells the client token.
    """
    subject = f"launch AMI {spec.image_id} on {spec.instance_type}"
    try:
        reply = api.send(launch_call(spec, api.region), subject, "Instances")
    except TransferError as error:
        # By another token, as the next run has of its own, EC2 would launch others.
        raise TransferError(
            f"{error}; they may be launched all the same: --client-token "
            f"{shlex.quote(spec.client_token)} launches none twice",
            code=error.code,
        ) from error
    return tuple(item["InstanceId"] for item in reply["Instances"])


def describe_instances(api: Ec2Api, instance_ids: Sequence[str]) -> tuple[Instance, ...]:
    """DescribeInstances, of those that EC2 knows (yet).

    Raises:
        AwsRefusedError: EC2 refused.
        TransferError: EC2 could not be reached.
    """
    # A filter, unlike a list of ids, finds what there is when one is not there.
    filters = [{"Name": "instance-id", "Values": list(instance_ids)}]
    subject = f"describe {', '.join(instance_ids)}"
    reservations = api.pages("DescribeInstances", "Reservations", subject, Filters=filters)
    return tuple(
        _read(item) for reservation in reservations for item in reservation.get("Instances", ())
    )


def require_instance(api: Ec2Api, instance_id: str, command: str) -> Instance:
    """An instance that must be there.

    Raises:
        AwsRefusedError: it is not, or EC2 refused.
        TransferError: EC2 could not be reached.
    """
    if not (found := describe_instances(api, [instance_id])):
        raise AwsRefusedError(
            f"{command} {instance_id}: there is no such instance in {api.region}; check the id "
            "and the region",
            code="InvalidInstanceID.NotFound",
        )
    return found[0]


def find_instance_types(
    api: Ec2Api,
    *,
    architecture: Architecture | None,
    virtualization_type: VirtualizationType,
) -> tuple[str, ...]:
    """Names, in order, of the region's types that boot such an S3-backed AMI.

    Raises:
        AwsRefusedError: EC2 refused.
        TransferError: EC2 could not be reached.
    """
    wanted = {
        "supported-root-device-type": "instance-store",
        "supported-virtualization-type": virtualization_type.value,
    }
    if architecture:
        wanted["processor-info.supported-architecture"] = architecture.value
    found = api.pages(
        "DescribeInstanceTypes",
        "InstanceTypes",
        "look for instance types that boot S3-backed AMIs",
        Filters=[{"Name": name, "Values": [value]} for name, value in wanted.items()],
        MaxResults=PAGE_SIZE,
    )
    return tuple(sorted(item["InstanceType"] for item in found))


@translated("read what EC2 tells of an instance")
def _read(item: Mapping[str, Any]) -> Instance:
    return Instance(
        instance_id=item["InstanceId"],
        instance_type=item.get("InstanceType", ""),
        state=item.get("State", {}).get("Name", "pending"),
        state_reason=item.get("StateReason", {}).get("Message", ""),
        root_device_type=item.get("RootDeviceType", ""),
        private_address=item.get("PrivateIpAddress", ""),
        public_address=item.get("PublicIpAddress", ""),
    )
