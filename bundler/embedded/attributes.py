"""Launch permissions and what else of an AMI can be changed after its registration."""

from datetime import UTC, datetime, timedelta
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError, InvalidAMIAttributeItemValueError
from moto.ec2.utils import format_timestamp

from bundler.embedded.actions import Ec2Actions
from bundler.embedded.ami import EmbeddedAmi

LAUNCH_PERMISSION = "launchPermission"
"""The only attribute that can be reset.  Source: ResetImageAttribute."""

MAX_DEPRECATION = timedelta(days=3653)
"""Most time until an AMI is deprecated: ten years.  Source: EnableImageDeprecation."""

NOBODY = "0" * 12
"""The number of no account; all others of twelve digits are taken for accounts here."""

_ATTRIBUTES = {
    "bootMode": "BootMode",
    "description": "Description",
    "imdsSupport": "ImdsSupport",
    "kernel": "KernelId",
    "ramdisk": "RamdiskId",
    "sriovNetSupport": "SriovNetSupport",
}
"""Attributes of one word, and what answers call them."""

_FIELDS = {
    "BootMode": "boot_mode",
    "Description": "description",
    "ImdsSupport": "imds_support",
    "KernelId": "kernel_id",
    "RamdiskId": "ramdisk_id",
    "SriovNetSupport": "sriov_net_support",
}


class AttributeActions(Ec2Actions):
    """Changes of one AMI."""

    def modify_image_attribute(self) -> ActionResult:
        """ModifyImageAttribute: launch permissions, the description or the IMDS support."""
        arguments = self.arguments
        ami = self._subject(arguments)
        if ami.state == "pending":
            raise EC2ClientError("InvalidAMIID.Unavailable", f"{ami.id} is not available yet")
        description = arguments.get("Description", {})
        if isinstance(description, dict) and "Value" in description:
            ami.description = description["Value"]
        elif arguments.get("Attribute") == "description":
            ami.description = arguments.get("Value", "")
        if "ImdsSupport" in arguments:
            ami.imds_support = arguments["ImdsSupport"].get("Value")
        self._check_permissions(arguments.get("LaunchPermission", {}).get("Add", []))
        super().modify_image_attribute()
        return ActionResult({"Return": True})

    def describe_image_attribute(self) -> ActionResult:
        """DescribeImageAttribute."""
        arguments = self.arguments
        self.error_on_dryrun()
        ami = self.find_ami(arguments["ImageId"])
        element = _ATTRIBUTES.get(arguments["Attribute"])
        if element is None:
            return super().describe_image_attribute()
        value = getattr(ami, _FIELDS[element])
        return ActionResult({"ImageId": ami.id, element: {"Value": value} if value else None})

    def reset_image_attribute(self) -> ActionResult:  # type: ignore[override]  # moto has none
        """ResetImageAttribute: nobody but the owner may launch it any more."""
        arguments = self.arguments
        ami = self._subject(arguments)
        if arguments.get("Attribute") != LAUNCH_PERMISSION:
            raise EC2ClientError("InvalidRequest", "only launchPermission can be reset")
        ami.launch_permissions.clear()
        return ActionResult({"Return": True})

    def enable_image(self) -> ActionResult:
        """EnableImage."""
        ami = self._subject(self.arguments)
        if ami.state == "disabled":
            ami.state = "available"
        return ActionResult({"Return": True})

    def disable_image(self) -> ActionResult:
        """DisableImage: nobody can launch it, and it is shared with nobody."""
        ami = self._subject(self.arguments)
        if ami.state == "pending":
            raise EC2ClientError("InvalidAMIID.Unavailable", f"{ami.id} is not available yet")
        ami.state = "disabled"
        ami.launch_permissions.clear()
        return ActionResult({"Return": True})

    def enable_image_deprecation(self) -> ActionResult:
        """EnableImageDeprecation: the time is rounded down to the minute."""
        arguments = self.arguments
        ami = self._subject(arguments)
        now, at = datetime.now(UTC), _aware(arguments["DeprecateAt"])
        if not now < at <= now + MAX_DEPRECATION:
            raise EC2ClientError(
                "InvalidParameterValue", "DeprecateAt must be in the next ten years"
            )
        rounded = at.replace(second=0, microsecond=0)
        ami.deprecation_time = str(format_timestamp(rounded.replace(tzinfo=None)))
        return ActionResult({"Return": True})

    def disable_image_deprecation(self) -> ActionResult:
        """DisableImageDeprecation."""
        self._subject(self.arguments).deprecation_time = None
        return ActionResult({"Return": True})

    def enable_image_deregistration_protection(self) -> ActionResult:
        """EnableImageDeregistrationProtection."""
        arguments = self.arguments
        ami = self._subject(arguments)
        cooldown = "enabled-with-cooldown" if arguments.get("WithCooldown") else "enabled"
        ami.deregistration_protection = cooldown
        return ActionResult({"Return": cooldown})

    def disable_image_deregistration_protection(self) -> ActionResult:
        """DisableImageDeregistrationProtection: with a cool-down it ends a day later."""
        ami = self._subject(self.arguments)
        has_cooldown = ami.deregistration_protection == "enabled-with-cooldown"
        if not has_cooldown:
            ami.deregistration_protection = "disabled"
        return ActionResult({"Return": ami.deregistration_protection})

    def _check_permissions(self, added: list[dict[str, str]]) -> None:
        """Refuse whom an AMI cannot be shared with; moto checks the form of what is given."""
        for one in added:
            if one.get("Group") == "all" and self.ec2.settings.blocks_public_access:
                raise EC2ClientError(
                    "OperationNotPermitted",
                    "You can\u2019t publicly share this image because block public access for AMIs "
                    "is enabled for this account. To publicly share the image, you must call the "
                    "DisableImageBlockPublicAccess API.",
                )
            if one.get("UserId") == NOBODY:
                raise InvalidAMIAttributeItemValueError("userId", NOBODY)

    def _subject(self, arguments: dict[str, Any]) -> EmbeddedAmi:
        """The AMI to change; a dry run ends here."""
        self.error_on_dryrun()
        return self.find_own_ami(arguments["ImageId"])


def _aware(time: datetime) -> datetime:
    """Moto reads times without their zone, which is UTC."""
    return time if time.tzinfo else time.replace(tzinfo=UTC)
