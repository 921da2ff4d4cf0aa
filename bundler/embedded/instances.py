"""RunInstances: an S3-backed AMI is launched by rebuilding its root volume from the bundle."""

from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.models.instances import Instance, InstanceState, StateReason

from bundler.embedded.actions import Ec2Actions, answered
from bundler.embedded.ami import INSTANCE_STORE, EmbeddedAmi
from bundler.embedded.image_request import check_ephemeral
from bundler.embedded.mappings import change_mappings

DEFAULT_TYPE = "m1.small"
"""Source: RunInstances, `InstanceType`."""


class InstanceActions(Ec2Actions):
    """Instances; those of S3-backed AMIs are pending until their root volume is there."""

    @answered()
    def run_instances(self) -> ActionResult:
        """RunInstances."""
        arguments = self.arguments
        ami = self._check_launch(arguments)
        if (earlier := self._earlier_launch(arguments)) is not None:
            return ActionResult(earlier)
        if ami is None:
            return super().run_instances()
        mappings = change_mappings(
            ami.block_device_mappings, arguments.get("BlockDeviceMappings", [])
        )
        # moto takes every mapping for an EBS volume.
        self.params["BlockDeviceMappings"] = [m for m in mappings if "Ebs" in m]
        result = super().run_instances()
        made: Any = result.result
        self.ec2.launches[made.id] = arguments
        for instance in made.instances:
            self._become(instance, ami, mappings)
        return result

    def _earlier_launch(self, arguments: dict[str, Any]) -> Any:
        """What an earlier request with this ClientToken has launched; None when there is none."""
        token = arguments.get("ClientToken")
        for reservation in self.ec2_backend.reservations.values() if token else ():
            if any(instance.client_token == token for instance in reservation.instances):
                if self.ec2.launches.get(reservation.id, arguments) != arguments:
                    raise EC2ClientError(
                        "IdempotentParameterMismatch",
                        "Arguments on this idempotent request are inconsistent with arguments used "
                        "in previous request(s).",
                    )
                return reservation
        return None

    def _check_launch(self, arguments: dict[str, Any]) -> EmbeddedAmi | None:
        """The AMI to launch; None when a launch template names it."""
        image_id = arguments.get("ImageId", "")
        if not image_id and "LaunchTemplate" in arguments:
            return None
        ami = self.find_ami(image_id)
        if ami.state != "available":
            raise EC2ClientError(
                "InvalidAMIID.Unavailable", f"The image ID '{ami.id}' is {ami.state}"
            )
        instance_type = arguments.get("InstanceType", DEFAULT_TYPE)
        _check_type(instance_type, ami)
        mappings = arguments.get("BlockDeviceMappings", [])
        for mapping in mappings:
            if snapshot_id := mapping.get("Ebs", {}).get("SnapshotId"):
                self.find_snapshot(snapshot_id)
        if ami.is_s3_backed:
            check_ephemeral([mapping for mapping in mappings if "Ebs" not in mapping])
            if any(mapping["DeviceName"] == ami.root_device_name for mapping in mappings):
                raise EC2ClientError(
                    "InvalidBlockDeviceMapping",
                    f"the root device {ami.root_device_name} of an S3-backed AMI is fixed",
                )
        return ami

    def _become(
        self, instance: Instance, ami: EmbeddedAmi, mappings: tuple[dict[str, Any], ...]
    ) -> None:
        """What moto does not know of an instance of this AMI."""
        instance.kernel, instance.ramdisk = ami.kernel_id, ami.ramdisk_id
        self.ec2.ephemeral[instance.id] = tuple(m for m in mappings if "VirtualName" in m)
        if not ami.is_s3_backed:
            return
        instance.root_device_type = INSTANCE_STORE
        if not any("Ebs" in mapping for mapping in mappings):
            instance.teardown_defaults()  # the EBS root volume that moto gives to all
        instance._state = InstanceState("pending", 0)

        def ended(problem: str) -> None:
            if instance.state != "pending":  # terminated meanwhile
                return
            if problem:
                instance.terminate()
                words = f"Server.InternalError: Internal error on launch: {problem}"
                instance.state_reason = StateReason(words, "Server.InternalError")
                instance._reason = "Server.InternalError"
            else:
                instance._state = InstanceState("running", 16)

        region = self.ec2_backend.region_name
        self.ec2.launch(self.objects, str(ami.image_location), region, instance.id, ended)


def _check_type(instance_type: str, ami: EmbeddedAmi) -> None:
    """Check that a type boots such an AMI, by what DescribeInstanceTypes tells of it.

    Raises:
        EC2ClientError: no such type, or it does not.
    """
    facts = INSTANCE_TYPES.get(instance_type)
    if facts is None:
        raise EC2ClientError(
            "InvalidInstanceType", f"The instance type '{instance_type}' does not exist"
        )
    needs = (
        ("root device", ami.root_device_type, facts["SupportedRootDeviceTypes"]),
        ("virtualization", ami.virtualization_type, facts["SupportedVirtualizationTypes"]),
        ("architecture", ami.architecture, facts["ProcessorInfo"]["SupportedArchitectures"]),
    )
    for what, wanted, supported in needs:
        if wanted not in supported:
            raise EC2ClientError(
                "InvalidParameterCombination",
                f"The instance type '{instance_type}' does not support the {what} "
                f"'{wanted}' of {ami.id} (it supports: {', '.join(supported)})",
            )
