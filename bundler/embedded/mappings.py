"""Block device mappings, and what requests change of them."""

from collections.abc import Iterable
from typing import Any


def change_mappings(
    before: Iterable[dict[str, Any]], changes: Iterable[dict[str, Any]]
) -> tuple[dict[str, Any], ...]:
    """Add devices, take away those with NoDevice, and change what is said of EBS volumes."""
    mappings = {mapping["DeviceName"]: mapping for mapping in before}
    for change in changes:
        device = change["DeviceName"]
        if "NoDevice" in change:
            mappings.pop(device, None)
        elif "Ebs" in change:
            volume = mappings.get(device, {}).get("Ebs", {})
            mappings[device] = {"DeviceName": device, "Ebs": {**volume, **change["Ebs"]}}
        else:
            mappings[device] = change
    return tuple(mappings.values())
