"""RegisterImage of EBS snapshots in moto, strict as EC2: moto's own reads only the name."""

from typing import Any

import pytest
from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.amis import Ami
from moto.ec2.responses.amis import AmisResponse
from moto.ec2.utils import random_ami_id


def register_from_snapshots(
    monkeypatch: pytest.MonkeyPatch, registrations: list[dict[str, Any]]
) -> None:
    """Let RegisterImage take snapshots too; what has an ImageLocation goes on as it did."""
    register_bundle = AmisResponse.register_image

    def register_image(response: AmisResponse) -> ActionResult:
        arguments = dict(response._get_params())
        if "ImageLocation" in arguments:
            return register_bundle(response)
        registrations.append(arguments)
        response.error_on_dryrun()
        backend = response.ec2_backend
        _check(backend, arguments)
        ami = _EbsAmi(backend, arguments)
        backend.amis[ami.id] = ami
        return ActionResult({"ImageId": ami.id})

    monkeypatch.setattr(AmisResponse, "register_image", register_image)


def _check(backend: Any, arguments: dict[str, Any]) -> None:
    for ami in backend.amis.values():
        if ami.name == arguments["Name"]:
            raise EC2ClientError("InvalidAMIName.Duplicate", f"AMI name is in use by AMI {ami.id}")
    devices = [mapping["DeviceName"] for mapping in arguments.get("BlockDeviceMappings", [])]
    if arguments.get("RootDeviceName") not in devices or len(set(devices)) != len(devices):
        raise EC2ClientError("InvalidBlockDeviceMapping", "The root device is not mapped, or twice")
    if arguments.get("VirtualizationType") == "hvm" and "KernelId" in arguments:
        raise EC2ClientError("InvalidParameterCombination", "Kernels are for paravirtual images.")
    for mapping in arguments["BlockDeviceMappings"]:
        snapshot_id = mapping.get("Ebs", {}).get("SnapshotId")
        if snapshot_id is None:
            continue
        if snapshot_id not in backend.snapshots:
            raise EC2ClientError("InvalidSnapshot.NotFound", f"No snapshot {snapshot_id}")
        if backend.snapshots[snapshot_id].status != "completed":
            raise EC2ClientError("IncorrectState", f"Snapshot {snapshot_id} is not completed")


class _EbsAmi(Ami):
    """An EBS-backed AMI as DescribeImages shows it."""

    # moto finds the service of a model by the path of its module.
    __module__ = Ami.__module__

    def __init__(self, backend: Any, arguments: dict[str, Any]) -> None:
        super().__init__(
            backend,
            random_ami_id(),
            name=arguments["Name"],
            description=arguments.get("Description", ""),
            virtualization_type=arguments.get("VirtualizationType", "paravirtual"),
            architecture=arguments.get("Architecture", "i386"),
            hypervisor="xen",
            root_device_type="ebs",
            root_device_name=arguments["RootDeviceName"],
            region_name=f"{backend.region_name}a",
        )
        self.kernel_id = arguments.get("KernelId")
        self._mappings = arguments["BlockDeviceMappings"]
        for specification in arguments.get("TagSpecifications", []):
            self.add_tags({tag["Key"]: tag["Value"] for tag in specification["Tags"]})

    @property
    def block_device_mappings(self) -> list[dict[str, Any]]:
        return list(self._mappings)
