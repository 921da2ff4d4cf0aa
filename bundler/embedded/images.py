"""RegisterImage, DescribeImages and DeregisterImage."""

from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError

from bundler.embedded.actions import Ec2Actions, answered
from bundler.embedded.ami import EBS, INSTANCE_STORE, AmiTraits, EmbeddedAmi
from bundler.embedded.image_filters import is_shown, matches
from bundler.embedded.image_request import check_image_request, image_tags

DEFAULT_ROOT = "/dev/sda1"
"""The root device of an S3-backed AMI that names none."""


class ImageActions(Ec2Actions):
    """AMIs, from their registration to their end."""

    @answered()
    def register_image(self) -> ActionResult:
        """RegisterImage: S3-backed by its ImageLocation, EBS-backed by its snapshots."""
        arguments = self.arguments
        self.ec2.registrations.append(arguments)
        self.error_on_dryrun()
        check_image_request(arguments)
        with self.ec2.lock:
            self.check_name_is_free(arguments["Name"])
            traits = (
                self._s3_backed(arguments)
                if "ImageLocation" in arguments
                else self._ebs_backed(arguments)
            )
            ami = self.add_ami(
                traits,
                name=arguments["Name"],
                description=arguments.get("Description", ""),
                tags=image_tags(arguments),
            )
        return ActionResult({"ImageId": ami.id})

    def _s3_backed(self, arguments: dict[str, Any]) -> AmiTraits:
        location = arguments["ImageLocation"]
        manifest = self.ec2.check_bundle(self.objects, location, self.ec2_backend.region_name)
        # A manifest's kernel is for whoever has one: an hvm instance boots its own.
        is_pv = arguments.get("VirtualizationType") != "hvm"
        kernel, ramdisk = (manifest.kernel_id, manifest.ramdisk_id) if is_pv else ("", "")
        return _traits(
            arguments,
            location=location,
            root_device_type=INSTANCE_STORE,
            root_device_name=arguments.get("RootDeviceName", DEFAULT_ROOT),
            architecture=arguments.get("Architecture", manifest.architecture),
            # Those of the manifest are for the instance's host: no answer shows them.
            mappings=tuple(arguments.get("BlockDeviceMappings", [])),
            kernel_id=arguments.get("KernelId") or kernel or None,
            ramdisk_id=arguments.get("RamdiskId") or ramdisk or None,
        )

    def _ebs_backed(self, arguments: dict[str, Any]) -> AmiTraits:
        return _traits(
            arguments,
            location=f"{self.ec2_backend.account_id}/{arguments['Name']}",
            root_device_type=EBS,
            root_device_name=arguments["RootDeviceName"],
            architecture=arguments.get("Architecture", "i386"),
            mappings=tuple(map(self._with_defaults, arguments["BlockDeviceMappings"])),
            kernel_id=arguments.get("KernelId"),
            ramdisk_id=arguments.get("RamdiskId"),
        )

    def _with_defaults(self, mapping: dict[str, Any]) -> dict[str, Any]:
        volume = mapping.get("Ebs")
        if volume is None:
            return mapping
        defaults = {"DeleteOnTermination": True, "VolumeType": "standard", "Encrypted": False}
        if "SnapshotId" in volume:
            snapshot = self.find_snapshot(volume["SnapshotId"])
            if snapshot.status != "completed":
                raise EC2ClientError(
                    "IncorrectState", f"The snapshot '{volume['SnapshotId']}' is not completed"
                )
            defaults |= {"VolumeSize": snapshot.volume_size, "Encrypted": snapshot.encrypted}
        return {**mapping, "Ebs": {**defaults, **volume}}

    @answered()
    def describe_images(self) -> ActionResult:
        """DescribeImages: by ids; or by owner, launch permission and filters, page by page."""
        self.error_on_dryrun()
        arguments = self.arguments
        ids = arguments.get("ImageIds", [])
        if ids and "MaxResults" in arguments:
            raise EC2ClientError(
                "InvalidParameterCombination", "MaxResults cannot be used with image ids"
            )
        known = self.ec2_backend.describe_images(owners=arguments.get("Owners", []))
        wanted = [ami for ami in known if not ids or ami.id in ids]
        seen = [ami for ami in wanted if not isinstance(ami, EmbeddedAmi) or ami.look()]
        for image_id in ids:
            if not any(ami.id == image_id for ami in seen):
                self._check_was_there(image_id)
        images = [
            ami
            for ami in seen
            if matches(ami, arguments.get("Filters", []))
            and (ids or is_shown(ami, arguments, self.ec2_backend.account_id))
        ]
        token = arguments.get("NextToken", "0")
        if not token.isdecimal():
            raise EC2ClientError("InvalidParameterValue", f"NextToken {token!r} is not one of ours")
        start = int(token)
        end = start + arguments.get("MaxResults", len(images))
        following = str(end) if end < len(images) else None
        return ActionResult({"Images": images[start:end], "NextToken": following})

    def _check_was_there(self, image_id: str) -> None:
        """Refuse an id that there never was; a deregistered one is just not told of."""
        if image_id not in self.ec2_backend.deleted_amis:
            is_id = image_id.startswith("ami-")
            raise EC2ClientError(
                "InvalidAMIID.NotFound" if is_id else "InvalidAMIID.Malformed",
                f"The image id '[{image_id}]' {'does not exist' if is_id else 'is not valid'}",
            )

    def deregister_image(self) -> ActionResult:
        """DeregisterImage: the bundle stays; snapshots go along when that is asked for."""
        arguments = self.arguments
        self.error_on_dryrun()
        with self.ec2.lock:
            ami = self.find_own_ami(arguments["ImageId"])
            if ami.deregistration_protection != "disabled":
                raise EC2ClientError(
                    "OperationNotPermitted",
                    f"deregistration protection is on for {ami.id}",
                )
            self.ec2_backend.deregister_image(ami.id)
            name = (self.ec2_backend.region_name, str(ami.name))
            self.ec2.held_names[name] = self.ec2.settings.held_looks
            doomed = ami.snapshot_ids if arguments.get("DeleteAssociatedSnapshots") else []
            results = [self._delete_with_image(snapshot_id) for snapshot_id in doomed]
        return ActionResult({"Return": True, "DeleteSnapshotResults": results})

    def _delete_with_image(self, snapshot_id: str) -> dict[str, str]:
        if self._users(snapshot_id):
            return {"SnapshotId": snapshot_id, "ReturnCode": "skipped"}
        self.ec2_backend.delete_snapshot(snapshot_id)
        return {"SnapshotId": snapshot_id, "ReturnCode": "success"}

    def delete_snapshot(self) -> ActionResult:
        """DeleteSnapshot: not while an AMI needs it."""
        snapshot_id = self.arguments["SnapshotId"]
        if users := self._users(snapshot_id):
            raise EC2ClientError(
                "InvalidSnapshot.InUse",
                f"The snapshot {snapshot_id} is currently in use by {', '.join(users)}",
            )
        return super().delete_snapshot()

    def _users(self, snapshot_id: str) -> list[str]:
        return [
            ami.id
            for ami in list(self.ec2_backend.amis.values())
            if isinstance(ami, EmbeddedAmi) and snapshot_id in ami.snapshot_ids
        ]


def _traits(arguments: dict[str, Any], **traits: Any) -> AmiTraits:
    return AmiTraits(
        virtualization_type=arguments.get("VirtualizationType", "paravirtual"),
        sriov=arguments.get("SriovNetSupport"),
        ena_support=arguments.get("EnaSupport"),
        boot_mode=arguments.get("BootMode"),
        imds_support=arguments.get("ImdsSupport"),
        **traits,
    )
