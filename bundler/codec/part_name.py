"""Names of part files: PREFIX.part.NN."""

import re


def part_name(prefix: str, index: int, count: int) -> str:
    """The file name of part `index` (from 0) of `count`.

    The index is padded with zeros to as many digits as `count` has: 10 parts are
    .part.00 to .part.09.  Source: AMI Tools.

    Raises:
        ValueError: there is no such part.
    """
    if not 0 <= index < count:
        raise ValueError(f"part {index} of {count}: there is no such part")
    return f"{prefix}.part.{index:0{len(str(count))}d}"


def parse_part_name(name: str) -> tuple[str, int] | None:
    """The prefix and index in a part's file name, or None when it is no part's name.

    Any padding is taken: tools differ in it.
    """
    match = re.fullmatch(r"(.+)\.part\.([0-9]{1,18})", name, re.DOTALL)
    return (match[1], int(match[2])) if match else None
