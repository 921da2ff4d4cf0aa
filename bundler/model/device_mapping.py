"""Block device mappings as EC2's API has them: of an AMI, or of a launch.

A bundle's own (manifest element `block_device_mapping`) are in model/mapping.py.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from bundler.errors import UsageError
from bundler.model.mapping import BlockDeviceMapping

_EPHEMERAL = re.compile(r"ephemeral([0-9]|1[0-9]|2[0-3])")
"""Names of instance-store volumes.  Source: BlockDeviceMapping, `VirtualName`."""

_NAMES = frozenset(("DeviceName", "VirtualName", "Ebs", "NoDevice"))

_TRUTH = {"true": True, "false": False}
_EBS_TRUTH = frozenset(("DeleteOnTermination", "Encrypted"))
_EBS_NUMBERS = frozenset(("Iops", "Throughput", "VolumeInitializationRate", "VolumeSize"))
"""Members that are no texts.  Source: EbsBlockDevice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceMapping:
    """What a device of an instance is (EC2's BlockDeviceMapping).

    Raises:
        UsageError: no device, or not exactly one thing that it is.
    """

    device: str
    """Such as /dev/sdb (`DeviceName`)."""
    virtual: str = ""
    """An instance-store volume, ephemeral0 to ephemeral23 (`VirtualName`)."""
    ebs: Mapping[str, object] | None = None
    """An EBS volume, as the API has it (`Ebs`)."""
    is_left_out: bool = False
    """Whether the AMI's own mapping of that device does not hold (`NoDevice`)."""

    def __post_init__(self) -> None:
        kinds = (bool(self.virtual), self.ebs is not None, self.is_left_out)
        if not self.device or not self.device.isprintable() or sum(kinds) != 1:
            raise UsageError(
                f"block device mapping of {self.device!r}: expected a DeviceName and one of "
                "VirtualName, Ebs and NoDevice"
            )
        if self.virtual and not _EPHEMERAL.fullmatch(self.virtual):
            raise UsageError(
                f"block device mapping {self.virtual}={self.device}: expected ephemeral0 to "
                "ephemeral23; what ami, root and swap are is said when the image is bundled "
                "(ami-bundler image -B)"
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``ephemeralN=DEVICE``; a device without a directory is one of /dev.

        Raises:
            UsageError: not of that form.
        """
        mapping = BlockDeviceMapping.parse(text)
        device = mapping.device if "/" in mapping.device else f"/dev/{mapping.device}"
        return cls(device=device, virtual=mapping.virtual)

    @classmethod
    def from_document(cls, document: object) -> Self:
        """Read one mapping as the API has it; numbers and truth may be texts, as in shorthand.

        Raises:
            UsageError: it is none.
        """
        if not isinstance(document, dict) or not document.keys() <= _NAMES:
            raise UsageError(
                f"block device mapping {json.dumps(document)}: expected an object of "
                f"{', '.join(sorted(_NAMES))}"
            )
        device, virtual = document.get("DeviceName"), document.get("VirtualName", "")
        ebs = document.get("Ebs")
        is_ebs = ebs is None or isinstance(ebs, dict)
        if not (isinstance(device, str) and isinstance(virtual, str) and is_ebs):
            raise UsageError(
                f"block device mapping {json.dumps(document)}: expected texts, and an object as Ebs"
            )
        if ebs is not None:
            ebs = {name: _typed(name, value) for name, value in ebs.items()}
        return cls(device=device, virtual=virtual, ebs=ebs, is_left_out="NoDevice" in document)

    def request(self) -> dict[str, object]:
        """The mapping as EC2's API takes it."""
        if self.is_left_out:
            return {"DeviceName": self.device, "NoDevice": ""}
        if self.ebs is not None:
            return {"DeviceName": self.device, "Ebs": dict(self.ebs)}
        return {"DeviceName": self.device, "VirtualName": self.virtual}


def _typed(name: str, value: object) -> object:
    """A member of EbsBlockDevice, of the type that EC2 wants."""
    if isinstance(value, str):
        if name in _EBS_TRUTH:
            return _TRUTH.get(value.lower(), value)
        if name in _EBS_NUMBERS and value.isascii() and value.isdecimal() and len(value) < 10:
            return int(value)
    return value


def read_mappings(document: object) -> Iterator[DeviceMapping]:
    """Read the API's mappings, an array of them or one, as JSON or shorthand says them.

    Raises:
        UsageError: one is malformed.
    """
    for item in document if isinstance(document, list) else [document]:
        yield DeviceMapping.from_document(item)


def check_mappings(mappings: tuple[DeviceMapping, ...]) -> None:
    """Refuse two mappings of one device.

    Raises:
        UsageError: there are two.
    """
    devices = [mapping.device for mapping in mappings]
    for device in devices:
        if devices.count(device) > 1:
            raise UsageError(f"block device mappings: {device} is there twice")
