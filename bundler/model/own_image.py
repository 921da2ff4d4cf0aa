"""An AMI as EC2 describes it, with all that it takes to change it or to register it again."""

from dataclasses import dataclass

from bundler.errors import UsageError
from bundler.model.device_mapping import DeviceMapping
from bundler.model.image import Architecture, ImageLocation, ImageState, VirtualizationType
from bundler.model.registration import BootMode, Registration
from bundler.model.resource_tag import Tag


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnImage:
    """What DescribeImages tells of an AMI; texts are empty where it tells nothing."""

    image_id: str
    name: str
    description: str
    state: ImageState
    state_reason: str
    root_device_type: str
    """instance-store or ebs."""
    root_device_name: str
    location: str
    """BUCKET/KEY of the manifest of an S3-backed AMI."""
    architecture: str
    virtualization_type: str
    kernel_id: str
    ramdisk_id: str
    has_sriov: bool
    has_ena: bool
    boot_mode: str
    needs_imds_v2: bool
    protection: str
    """Of deregistration: "disabled" or empty, else how it is protected."""
    source_instance_id: str
    """The instance that it was made from by CreateImage."""
    mappings: tuple[DeviceMapping, ...]
    snapshot_ids: tuple[str, ...]
    """Of its EBS volumes."""
    tags: tuple[Tag, ...]

    @property
    def is_s3_backed(self) -> bool:
        """Whether its root volume comes from a bundle in S3."""
        return self.root_device_type == "instance-store"

    @property
    def is_protected(self) -> bool:
        """Whether EC2 will not deregister it."""
        return self.protection not in ("", "disabled")

    @property
    def root_snapshot_id(self) -> str:
        """The snapshot that its root volume is made from; empty: it is S3-backed, or unknown."""
        for mapping in self.mappings:
            if mapping.ebs is not None and mapping.device == self.root_device_name:
                return str(mapping.ebs.get("SnapshotId", ""))
        return ""

    def registration(self) -> Registration:
        """What registers an S3-backed AMI of the same manifest and attributes.

        Raises:
            UsageError: EC2 does not tell enough, or what no registration can have.
        """
        try:
            architecture = Architecture(self.architecture)
            virtualization_type = VirtualizationType(self.virtualization_type)
            boot_mode = BootMode(self.boot_mode) if self.boot_mode else None
        except ValueError as error:
            raise UsageError(
                f"AMI {self.image_id}: EC2 tells of it what is not known: {error}"
            ) from error
        return Registration(
            location=ImageLocation.parse(self.location.strip("/")),
            name=self.name,
            description=self.description,
            architecture=architecture,
            virtualization_type=virtualization_type,
            kernel_id=self.kernel_id,
            ramdisk_id=self.ramdisk_id,
            root_device_name=self.root_device_name,
            mappings=tuple(one for one in self.mappings if one.virtual),
            has_sriov=self.has_sriov,
            has_ena=self.has_ena,
            boot_mode=boot_mode,
            needs_imds_v2=self.needs_imds_v2,
            tags=tuple(tag for tag in self.tags if not tag[0].lower().startswith("aws:")),
        )
