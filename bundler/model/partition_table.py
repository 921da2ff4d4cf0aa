"""Partition tables of disks."""

from enum import StrEnum


class PartitionScheme(StrEnum):
    """Kinds of partition tables."""

    GPT = "gpt"
    MBR = "mbr"
