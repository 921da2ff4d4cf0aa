"""Names of a bundle's files: NAME.part.NN and NAME.manifest.xml.

In the model, since whoever stores a bundle (disk or S3) must know them.
"""

import re

MANIFEST_SUFFIX = ".manifest.xml"
"""What a manifest's name ends in.  Source: AMI Tools."""


def manifest_name(name: str) -> str:
    """The file name of the manifest of bundle `name`."""
    return name + MANIFEST_SUFFIX


def part_name(name: str, index: int, count: int) -> str:
    """The file name of part `index` (from 0) of `count` of bundle `name`.

    The index is padded with zeros to as many digits as `count` has: 10 parts are
    .part.00 to .part.09.  Source: AMI Tools.

    Raises:
        ValueError: there is no such part.
    """
    if not 0 <= index < count:
        raise ValueError(f"part {index} of {count}: there is no such part")
    return f"{name}.part.{index:0{len(str(count))}d}"


def part_names(name: str, count: int) -> tuple[str, ...]:
    """The file names of all parts of bundle `name`, in order."""
    return tuple(part_name(name, index, count) for index in range(count))


def parse_part_name(file_name: str) -> tuple[str, int] | None:
    """The bundle's name and the index in a part's file name; None for other names.

    Any padding is taken: tools differ in it.
    """
    match = re.fullmatch(r"(.+)\.part\.([0-9]{1,18})", file_name, re.DOTALL)
    return (match[1], int(match[2])) if match else None


def is_part_of(file_name: str, name: str) -> bool:
    """Whether a file name is that of a part of bundle `name`."""
    parsed = parse_part_name(file_name)
    return parsed is not None and parsed[0] == name
