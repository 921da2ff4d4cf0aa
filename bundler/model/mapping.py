"""Block device mappings of a bundle."""

from dataclasses import dataclass
from typing import Self

from bundler.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class BlockDeviceMapping:
    """One mapping (manifest element `block_device_mapping/mapping`).

    `virtual` is ami, root, swap or ephemeralN; `device` is such as sda1 or /dev/sdb.
    """

    virtual: str
    device: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``VIRTUAL=DEVICE``; blanks around the two are dropped.

        Raises:
            UsageError: not of that form.
        """
        virtual, equals, device = (word.strip() for word in text.partition("="))
        words_are_plain = all(
            word and word.isprintable() and " " not in word for word in (virtual, device)
        )
        if not equals or not words_are_plain or "=" in device:
            raise UsageError(f"block device mapping {text!r}: expected VIRTUAL=DEVICE")
        return cls(virtual=virtual, device=device)
