"""What the embedded EBS direct APIs say of requests that break a rule."""

from typing import Any

_START_MEMBERS = frozenset(
    (
        "VolumeSize",
        "ParentSnapshotId",
        "Tags",
        "Description",
        "ClientToken",
        "Encrypted",
        "Timeout",
    )
)


class EbsError(Exception):
    """An error that the client gets."""

    def __init__(self, status: int, code: str, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.reason = reason


def invalid(message: str, reason: str = "INVALID_PARAMETER_VALUE") -> EbsError:
    """What is said of a request that breaks a rule."""
    return EbsError(400, "ValidationException", message, reason)


def check_start(request: dict[str, Any]) -> None:
    """StartSnapshot's body.

    Raises:
        EbsError: it breaks a rule.
    """
    if unknown := request.keys() - _START_MEMBERS:
        raise invalid(f"Unknown members: {sorted(unknown)}")
    size, timeout = request.get("VolumeSize"), request.get("Timeout", 60)
    if not isinstance(size, int) or not 1 <= size <= 65536:
        raise invalid("The volume size must be 1 to 65536 GiB.", "INVALID_VOLUME_SIZE")
    if not isinstance(timeout, int) or not 10 <= timeout <= 4320:
        raise invalid("The timeout must be 10 to 4320 minutes.")
    if not 1 <= len(request.get("Description", "-")) <= 255:
        raise invalid("The description must have 1 to 255 characters.")
    if "ParentSnapshotId" in request and "Encrypted" in request:
        raise invalid("A snapshot is encrypted as its parent is.")
    tags = request.get("Tags", [])
    keys = [tag["Key"] for tag in tags]
    is_reserved = any(key.startswith("aws:") for key in keys)
    if len(tags) > 50 or len(set(keys)) != len(keys) or is_reserved:
        raise invalid("The tags break the rules.", "INVALID_TAG")
