"""An AMI as DescribeImages shows it: what it was registered with, and nothing invented."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from moto.ec2.models.amis import Ami
from moto.ec2.utils import random_ami_id

INSTANCE_STORE = "instance-store"
"""The root device type of S3-backed AMIs."""

EBS = "ebs"
"""The root device type of EBS-backed AMIs."""

Mappings = Iterable[Mapping[str, Any]]
"""Block device mappings as requests and answers have them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AmiTraits:
    """What an AMI is, from registration or taken from another one."""

    location: str
    """BUCKET/KEY of the manifest; ACCOUNT/NAME of an EBS-backed image."""
    root_device_type: str
    root_device_name: str
    architecture: str
    virtualization_type: str
    mappings: tuple[dict[str, Any], ...]
    kernel_id: str | None = None
    ramdisk_id: str | None = None
    sriov: str | None = None
    ena_support: bool | None = None
    boot_mode: str | None = None
    imds_support: str | None = None
    source: Mapping[str, str] = field(default_factory=dict)
    """Answer elements that tell of an instance or AMI it was made from."""


class EmbeddedAmi(Ami):
    """An AMI of the embedded EC2.  moto writes its attributes into answers by their names."""

    # moto finds the service of a model by the path of its module.
    __module__ = Ami.__module__

    def __init__(
        self,
        backend: Any,
        traits: AmiTraits,
        *,
        name: str,
        description: str,
        pending_looks: int = 0,
        unseen_looks: int = 0,
    ) -> None:
        super().__init__(
            backend,
            random_ami_id(),
            name=name,
            description=description,
            virtualization_type=traits.virtualization_type,
            architecture=traits.architecture,
            image_location=traits.location,
            hypervisor="xen",
            root_device_type=traits.root_device_type,
            root_device_name=traits.root_device_name,
            region_name=f"{backend.region_name}a",
            state="pending" if pending_looks else "available",
        )
        # moto invents a root volume and its snapshot for every AMI.
        del backend.snapshots[self.ebs_snapshot.id]
        self.traits = traits
        # moto's type for these has no None; its answers leave out what is None.
        vars(self).update(sriov=traits.sriov, boot_mode=traits.boot_mode)
        self.kernel_id: str | None = traits.kernel_id
        self.ramdisk_id = self.ramdisk = traits.ramdisk_id
        self.sriov_net_support = traits.sriov
        self.ena_support = traits.ena_support
        self.imds_support = self.imds = traits.imds_support
        self.instance_id = traits.source.get("SourceInstanceId")
        self.source_image_id = traits.source.get("SourceImageId")
        self.source_image_region = traits.source.get("SourceImageRegion")
        self.deprecation_time: str | None = None
        self.deregistration_protection = "disabled"
        self.platform_details, self.usage_operation = "Linux/UNIX", "RunInstances"
        self._pending_looks = pending_looks
        self._is_new = pending_looks > 0
        self._unseen_looks = unseen_looks

    @property
    def block_device_mappings(self) -> list[dict[str, Any]]:
        """Those of the registration."""
        return list(self.traits.mappings)

    @property
    def is_s3_backed(self) -> bool:
        """Whether its root volume comes from a bundle."""
        return self.root_device_type == INSTANCE_STORE

    @property
    def snapshot_ids(self) -> list[str]:
        """The snapshots that its volumes come from."""
        volumes = (mapping.get("Ebs", {}) for mapping in self.traits.mappings)
        return [volume["SnapshotId"] for volume in volumes if "SnapshotId" in volume]

    def look(self) -> bool:
        """Somebody looks for it: whether it is seen; its state may change by that."""
        if self._unseen_looks:
            self._unseen_looks -= 1
            return False
        if self._pending_looks:
            self._pending_looks -= 1
        elif self._is_new:
            self._is_new, self.state = False, "available"
        return True
