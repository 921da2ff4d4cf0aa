"""Instances, as far as those who wait for them need to know."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """An instance (DescribeInstances); texts are empty where EC2 tells nothing."""

    instance_id: str
    instance_type: str
    state: str
    """pending, running, shutting-down, terminated, stopping or stopped."""
    state_reason: str
    root_device_type: str
    """instance-store or ebs."""
    private_address: str
    public_address: str
