"""Names of instance store volumes, which are empty whenever an instance starts."""

import re

_NAMES = re.compile(r"/dev/(?:sd|xvd)[b-e][0-9]*|(?:LABEL=)?\S*ephemeral\S*", re.ASCII)
"""Source: EC2 user guide, device names for instance store volumes."""

_PARAVIRTUAL_NAMES = re.compile(r"/dev/(?:sd|xvd)a[23]")
"""What small paravirtual instances have beside a bare root, "/dev/sda1": ephemeral0 and swap.

Source: the fstab that ec2-bundle-vol --generate-fstab writes for i386.
"""

INSTANCE_STORE_MODEL = "Amazon EC2 NVMe Instance Storage"
"""The model of NVMe instance store volumes.  Source: EC2 user guide, identify NVMe devices."""


def is_instance_store_name(name: str, *, beside_bare_root: bool = False) -> bool:
    """Whether a name in fstab or a mount's source is one of an instance store volume.

    `beside_bare_root`: the root is a file system without a partition table, so that what looks
    like another partition of its disk is a volume of its own.
    """
    if _NAMES.fullmatch(name):
        return True
    return beside_bare_root and _PARAVIRTUAL_NAMES.fullmatch(name) is not None
