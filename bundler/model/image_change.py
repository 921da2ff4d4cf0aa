"""What is asked of EC2 when AMIs are copied or made of instances, and when they are launched."""

from dataclasses import dataclass

from bundler.errors import UsageError
from bundler.model.device_mapping import DeviceMapping, check_mappings
from bundler.model.registration import check_ami_name, check_description
from bundler.model.resource_tag import Tag

MAX_TOKEN_LENGTH = 64
"""Most characters of a client token.  Source: RunInstances, `ClientToken`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopySpec:
    """Arguments of CopyImage; what is empty is not sent.

    Raises:
        UsageError: something breaks EC2's rules.
    """

    image_id: str
    source_region: str
    region: str
    """Where the copy will be."""
    name: str
    is_s3_backed: bool
    description: str = ""
    is_encrypted: bool = False
    kms_key_id: str = ""
    copies_tags: bool = False
    tags: tuple[Tag, ...] = ()
    client_token: str = ""
    """Empty: one that stands for all the others."""

    def __post_init__(self) -> None:
        check_ami_name(self.name)
        check_description(self.description)
        check_client_token(self.client_token)
        if self.is_s3_backed and (self.is_encrypted or self.kms_key_id):
            raise UsageError(
                f"copy AMI {self.image_id}: it is S3-backed, and has no snapshots that could be "
                "encrypted; leave --encrypted and --kms-key-id out"
            )
        if self.kms_key_id and not self.is_encrypted:
            raise UsageError(f"copy AMI {self.image_id}: --kms-key-id needs --encrypted")


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateSpec:
    """Arguments of CreateImage; what is empty is not sent.

    Raises:
        UsageError: something breaks EC2's rules.
    """

    instance_id: str
    name: str
    description: str = ""
    no_reboot: bool = False
    mappings: tuple[DeviceMapping, ...] = ()
    tags: tuple[Tag, ...] = ()
    """Of the AMI and its snapshots."""

    def __post_init__(self) -> None:
        check_ami_name(self.name)
        check_description(self.description)
        check_mappings(self.mappings)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchSpec:
    """Arguments of RunInstances; what is empty is not sent.

    Raises:
        UsageError: something breaks EC2's rules.
    """

    image_id: str
    instance_type: str
    count: int = 1
    key_name: str = ""
    subnet_id: str = ""
    security_group_ids: tuple[str, ...] = ()
    mappings: tuple[DeviceMapping, ...] = ()
    tags: tuple[Tag, ...] = ()
    """Of the instances and their volumes."""
    client_token: str

    def __post_init__(self) -> None:
        check_mappings(self.mappings)
        check_client_token(self.client_token)


def check_client_token(token: str) -> None:
    """Refuse a client token that EC2 would refuse.

    Raises:
        UsageError: it is no ASCII, or too long.
    """
    if not (token.isascii() and token.isprintable() and len(token) <= MAX_TOKEN_LENGTH):
        raise UsageError(
            f"client token {token!r}: expected at most {MAX_TOKEN_LENGTH} ASCII characters"
        )
