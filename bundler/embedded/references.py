"""DescribeImageReferences: which instances and launch templates need an AMI."""

from collections.abc import Iterator
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError

from bundler.embedded.actions import Ec2Actions

INSTANCE, TEMPLATE = "ec2:Instance", "ec2:LaunchTemplate"
"""Kinds that this EC2 has; others (ssm:Parameter, imagebuilder:*) never refer to anything here."""

_STATES = ["pending", "running", "shutting-down", "stopping", "stopped"]


class ReferenceActions(Ec2Actions):
    """Who needs an AMI."""

    def describe_image_references(self) -> ActionResult:
        """DescribeImageReferences."""
        arguments = self.arguments
        if code := self.ec2.settings.reference_refusal:
            raise EC2ClientError(code, "DescribeImageReferences is not valid here.")
        self.error_on_dryrun()
        asked = {
            kind["ResourceType"]: _options(kind) for kind in arguments.get("ResourceTypes", ())
        }
        is_all = bool(arguments.get("IncludeAllResourceTypes"))
        if not asked and not is_all:
            raise EC2ClientError(
                "MissingParameter", "ResourceTypes or IncludeAllResourceTypes must be given"
            )
        ids = {self.find_ami(image_id).id for image_id in arguments["ImageIds"]}
        references: list[dict[str, str]] = []
        if is_all or INSTANCE in asked:
            states = asked.get(INSTANCE, {}).get("state-name", _STATES)
            references += self._instances(ids, states)
        if is_all or TEMPLATE in asked:
            references += self._templates(ids)
        return ActionResult({"ImageReferences": references})

    def _instances(self, ids: set[str], states: list[str]) -> Iterator[dict[str, str]]:
        for instance in self.ec2_backend.all_instances():
            if instance.image_id in ids and instance.state in states:
                yield self._reference(instance.image_id, INSTANCE, f"instance/{instance.id}")

    def _templates(self, ids: set[str]) -> Iterator[dict[str, str]]:
        for template in self.ec2_backend.launch_templates.values():
            used = {version.image_id for version in template.versions} & ids
            for image_id in sorted(used):
                yield self._reference(image_id, TEMPLATE, f"launch-template/{template.id}")

    def _reference(self, image_id: str, kind: str, name: str) -> dict[str, str]:
        backend = self.ec2_backend
        arn = f"arn:{backend.partition}:ec2:{backend.region_name}:{backend.account_id}:{name}"
        return {"ImageId": image_id, "ResourceType": kind, "Arn": arn}


def _options(kind: dict[str, Any]) -> dict[str, list[str]]:
    return {
        option["OptionName"]: option.get("OptionValues", [])
        for option in kind.get("ResourceTypeOptions", ())
    }
