"""CopyImage and CreateImage: AMIs made from an AMI or an instance."""

import hashlib
from dataclasses import replace
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.instances import Instance

from bundler.embedded.actions import Ec2Actions, answered
from bundler.embedded.ami import EBS, INSTANCE_STORE, AmiTraits, EmbeddedAmi
from bundler.embedded.bundle_check import parse_location, part_location
from bundler.embedded.image_request import check_name, image_tags
from bundler.embedded.mappings import change_mappings
from bundler.embedded.s3 import copy_readable, ensure_bucket, is_open_to_accounts
from bundler.model.image import ImageLocation


class CopyActions(Ec2Actions):
    """Images of what is there already."""

    @answered()
    def copy_image(self) -> ActionResult:
        """CopyImage: snapshots, or the objects of a bundle, go along; permissions do not."""
        arguments = self.arguments
        self.error_on_dryrun()
        with self.ec2.lock:
            if known := self._earlier(arguments):
                return ActionResult({"ImageId": known})
            check_name(arguments["Name"])
            self.check_name_is_free(arguments["Name"])
            self._check_quota()
            source = self._source(arguments["SourceImageId"], arguments["SourceRegion"])
            traits = replace(
                self._copied(source, arguments),
                source={
                    "SourceImageId": source.id,
                    "SourceImageRegion": arguments["SourceRegion"],
                },
            )
            tags = image_tags(arguments)
            if arguments.get("CopyImageTags"):
                tags = {tag["key"]: tag["value"] for tag in source.get_tags()} | tags
            ami = self.add_ami(
                traits,
                name=arguments["Name"],
                description=arguments.get("Description") or source.description or "",
                tags=tags,
            )
            self._remember(arguments, ami)
        return ActionResult({"ImageId": ami.id})

    def _source(self, image_id: str, region: str) -> EmbeddedAmi:
        backends = ec2_backends[self.ec2_backend.account_id]
        if region not in backends.regions:
            raise EC2ClientError("InvalidRegion", f"The region '{region}' does not exist.")
        backend = backends[region]
        ami = backend.amis.get(image_id)
        if not isinstance(ami, EmbeddedAmi):
            raise EC2ClientError(
                "InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist"
            )
        if ami.state != "available":
            raise EC2ClientError("InvalidAMIID.Unavailable", f"{image_id} is {ami.state}")
        if ami.owner_id != self.current_account and not self._may_read_storage(ami, backend):
            raise EC2ClientError(
                "InvalidRequest", "You do not have permission to access the storage of this ami"
            )
        return ami

    def _may_read_storage(self, ami: EmbeddedAmi, backend: EC2Backend) -> bool:
        """Whether others than an AMI's owner may read its bundle, or its snapshots."""
        if not ami.is_s3_backed:
            return all(
                "all" in snapshot.create_volume_permission_groups
                or self.current_account in snapshot.create_volume_permission_userids
                for snapshot in map(backend.get_snapshot, ami.snapshot_ids)
            )
        return is_open_to_accounts(parse_location(ami.traits.location))

    def _check_quota(self) -> None:
        pending = [
            ami
            for ami in self.ec2_backend.amis.values()
            if ami.state == "pending" and ami.source_image_id
        ]
        if len(pending) >= self.ec2.settings.copy_quota:
            raise EC2ClientError(
                "ResourceLimitExceeded",
                f"You have reached the limit of {self.ec2.settings.copy_quota} concurrent AMI "
                "copies to this destination region.",
            )

    def _copied(self, source: EmbeddedAmi, arguments: dict[str, Any]) -> AmiTraits:
        if not source.is_s3_backed:
            return replace(
                source.traits,
                location=f"{self.ec2_backend.account_id}/{arguments['Name']}",
                mappings=tuple(
                    self._copied_mapping(mapping, arguments) for mapping in source.traits.mappings
                ),
            )
        if arguments.get("Encrypted") or "KmsKeyId" in arguments:
            raise EC2ClientError(
                "InvalidParameterCombination", "S3-backed images cannot be encrypted by a copy"
            )
        if self.ec2.settings.objects is not None:
            raise EC2ClientError("UnsupportedOperation", "this S3 is read only to this EC2")
        return replace(source.traits, location=self._copied_bundle(source, arguments).path)

    def _copied_mapping(self, mapping: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
        volume = mapping.get("Ebs", {})
        if "SnapshotId" not in volume:
            return mapping
        snapshot = self.ec2_backend.copy_snapshot(
            volume["SnapshotId"],
            arguments["SourceRegion"],
            f"Copied for {arguments['Name']} from {arguments['SourceImageId']}",
            arguments.get("KmsKeyId"),
        )
        snapshot.encrypted = snapshot.encrypted or bool(arguments.get("Encrypted"))
        made = {"SnapshotId": snapshot.id, "Encrypted": snapshot.encrypted}
        return {**mapping, "Ebs": {**volume, **made}}

    def _copied_bundle(self, ami: EmbeddedAmi, arguments: dict[str, Any]) -> ImageLocation:
        """Copy manifest and parts to the bucket that EC2 keeps for copies; the new manifest."""
        path, name = ami.traits.location, arguments["Name"]
        manifest = self.ec2.check_bundle(self.objects, path, arguments["SourceRegion"])
        account, region = self.ec2_backend.account_id, self.ec2_backend.region_name
        mark = hashlib.sha256(f"{account} {region}".encode()).hexdigest()[:8]
        bucket = f"amis-for-{account}-in-{region}-{mark}"
        ensure_bucket(bucket, account, region)
        source = parse_location(path)
        folder = ImageLocation(bucket=bucket, key=hashlib.sha256(name.encode()).hexdigest()[:16])
        for part in manifest.parts:
            copy_readable(part_location(source, part), folder.join(part.filename))
        target = folder.join(source.key.rpartition("/")[2])
        copy_readable(source, target)
        return target

    def _earlier(self, arguments: dict[str, Any]) -> str:
        """The image that an earlier request with this ClientToken has made, if there is one."""
        token = (self.ec2_backend.region_name, arguments.get("ClientToken", ""))
        if token not in self.ec2.tokens:
            return ""
        before, image_id = self.ec2.tokens[token]
        if before != arguments:
            raise EC2ClientError(
                "IdempotentParameterMismatch", "the ClientToken was used with other parameters"
            )
        return image_id

    def _remember(self, arguments: dict[str, Any], ami: EmbeddedAmi) -> None:
        if token := arguments.get("ClientToken"):
            self.ec2.tokens[self.ec2_backend.region_name, token] = (arguments, ami.id)

    @answered()
    def create_image(self) -> ActionResult:
        """CreateImage: a snapshot of each attached EBS volume; instance store maps go along."""
        arguments = self.arguments
        self.error_on_dryrun()
        check_name(arguments["Name"])
        with self.ec2.lock:
            self.check_name_is_free(arguments["Name"])
            instance = self.ec2_backend.get_instance(arguments["InstanceId"])
            _check_imageable(instance)
            traits = AmiTraits(
                location=f"{self.ec2_backend.account_id}/{arguments['Name']}",
                root_device_type=EBS,
                root_device_name=instance.root_device_name,
                architecture=instance.architecture,
                virtualization_type=instance.virtualization_type,
                mappings=self._mappings(instance, arguments),
                kernel_id=instance.kernel,
                ramdisk_id=instance.ramdisk,
                source={"SourceInstanceId": instance.id},
            )
            ami = self.add_ami(
                traits,
                name=arguments["Name"],
                description=arguments.get("Description", ""),
                tags=image_tags(arguments),
            )
        return ActionResult({"ImageId": ami.id})

    def _mappings(
        self, instance: Instance, arguments: dict[str, Any]
    ) -> tuple[dict[str, Any], ...]:
        """What the image maps: the instance's volumes, as the request changes them."""
        changes = arguments.get("BlockDeviceMappings", [])
        left_out = {change["DeviceName"] for change in changes if "NoDevice" in change}
        volumes = [
            {"DeviceName": device, "Ebs": self._snapshot(instance, attached, arguments)}
            for device, attached in instance.get_block_device_mapping
            if device not in left_out
        ]
        return change_mappings((*volumes, *self.ec2.ephemeral.get(instance.id, ())), changes)

    def _snapshot(
        self, instance: Instance, attached: Any, arguments: dict[str, Any]
    ) -> dict[str, Any]:
        snapshot = self.ec2_backend.create_snapshot(
            attached.volume_id, f"Created by CreateImage({instance.id})"
        )
        snapshot.add_tags(image_tags(arguments, "snapshot"))
        volume = self.ec2_backend.get_volume(attached.volume_id)
        return {
            "SnapshotId": snapshot.id,
            "VolumeSize": volume.size,
            "VolumeType": volume.volume_type or "gp2",
            "Encrypted": volume.encrypted,
            "DeleteOnTermination": bool(attached.delete_on_termination),
        }


def _check_imageable(instance: Instance) -> None:
    if instance.state not in ("running", "stopped"):
        raise EC2ClientError(
            "IncorrectState",
            f"The instance '{instance.id}' is not in a state from which it can be imaged: "
            f"{instance.state}",
        )
    if instance.root_device_type == INSTANCE_STORE:
        raise EC2ClientError(
            "OperationNotPermitted",
            f"The instance '{instance.id}' has an instance store root volume: bundle it instead",
        )
