"""What an instance is told about itself, as far as a bundle of its volume takes it over."""

import re
from dataclasses import dataclass

from bundler.errors import InputError
from bundler.model.image import Architecture
from bundler.model.mapping import BlockDeviceMapping

# Private clouds that speak EC2's language write emi, eki and eri, some in capitals.
_DIGITS = r"[0-9A-Fa-f]{8}(?:[0-9A-Fa-f]{9})?"
_INSTANCE = re.compile(rf"i-{_DIGITS}")
_AMI = re.compile(rf"[ae]mi-{_DIGITS}")
_KERNEL = re.compile(rf"[ae]ki-{_DIGITS}")
_RAMDISK = re.compile(rf"[ae]ri-{_DIGITS}")
_PRODUCT_CODE = re.compile(r"[0-9A-Za-z]{1,64}")
_REGION = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z-]{0,61}[0-9A-Za-z])?")
"""One label of a host's name, which becomes one of AWS's addresses."""
_ACCOUNT = re.compile(r"[0-9]{12}")
_VIRTUAL = re.compile(r"ami|root|swap|ephemeral(?:[0-9]|1[0-9]|2[0-3])")
"""Source: EC2 user guide, block device mappings: ephemeral[0-23]."""
_DEVICE = re.compile(r"(?:/dev/)?[0-9A-Za-z]{1,32}")


def is_bundled_mapping(virtual: str) -> bool:
    """Whether a mapping can go into a bundle: an EBS volume (ebsN) cannot.

    Source: EC2 API, RegisterImage: S3-backed AMIs have instance store volumes only.
    """
    return _VIRTUAL.fullmatch(virtual) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceMetadata:
    """Instance metadata and identity document; texts are empty where EC2 tells nothing.

    Whoever answers may be anybody, so each value must have the form that EC2 gives it.  Not
    checked is the signature of the identity document: what is inherited opens no door.

    Raises:
        InputError: a value that EC2 would not tell.
    """

    instance_id: str = ""
    ami_id: str = ""
    ancestor_ami_ids: tuple[str, ...] = ()
    kernel_id: str = ""
    """Of paravirtual instances alone, as is the ramdisk."""
    ramdisk_id: str = ""
    product_codes: tuple[str, ...] = ()
    block_device_mappings: tuple[BlockDeviceMapping, ...] = ()
    """Those that a bundle can have: ami, root, swap and ephemeralN."""
    region: str = ""
    account: str = ""
    """12 digits."""
    architecture: Architecture | None = None
    """None where it is unknown, or one of no S3-backed AMI, such as arm64_mac."""

    def __post_init__(self) -> None:
        _check("instance-id", _INSTANCE, self.instance_id)
        _check("ami-id", _AMI, self.ami_id)
        _check("ancestor-ami-ids", _AMI, *self.ancestor_ami_ids)
        _check("kernel-id", _KERNEL, self.kernel_id)
        _check("ramdisk-id", _RAMDISK, self.ramdisk_id)
        _check("product-codes", _PRODUCT_CODE, *self.product_codes)
        for mapping in self.block_device_mappings:
            _check("block-device-mapping", _VIRTUAL, mapping.virtual)
            _check(f"block-device-mapping/{mapping.virtual}", _DEVICE, mapping.device)
        _check("region", _REGION, self.region)
        _check("accountId", _ACCOUNT, self.account)

    @property
    def ancestry(self) -> tuple[str, ...]:
        """The ancestors of an image made here: those of the instance's AMI, and that AMI."""
        ids = (*self.ancestor_ami_ids, *((self.ami_id,) if self.ami_id else ()))
        return tuple(dict.fromkeys(ids))


def _check(name: str, form: re.Pattern[str], *values: str) -> None:
    for value in values:
        if value and not form.fullmatch(value):
            raise InputError(f"{name}: expected what EC2 tells there, got {value[:80]!r}")
