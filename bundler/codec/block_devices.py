"""Block devices, as lsblk and blkid describe them.

Sources: lsblk(8) and blkid(8) of util-linux 2.23 to 2.40.  What is on a disk is anybody's: a
label or UUID with characters that no terminal shows counts as none.
"""

import json
import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace

from bundler.errors import InputError
from bundler.model.block_device import BlockDevice

COLUMNS = (
    "NAME",
    "KNAME",
    "PATH",
    "PKNAME",
    "MAJ:MIN",
    "TYPE",
    "FSTYPE",
    "LABEL",
    "UUID",
    "PARTUUID",
    "PTTYPE",
    "PTUUID",
    "MODEL",
    "SIZE",
)
"""Columns of lsblk that are read where it has them; NAME, KNAME, MAJ:MIN and TYPE it must have."""

MAX_DEVICE_COUNT = 20_000
"""Most block devices that are read; our choice."""

_PAIR = re.compile(r'([A-Z0-9:_-]{1,32})="([^"]*)"')
_HEX_ESCAPE = re.compile(r"\\x([0-9a-fA-F]{2})")
_GUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_TABLE_ID = re.compile(rf"(?:0x)?({_GUID}|[0-9a-f]{{1,8}})")

Row = Mapping[str, str]


def parse_block_devices(data: bytes) -> tuple[BlockDevice, ...]:
    """Devices from the output of `lsblk --json --bytes`, or of `lsblk --pairs --bytes`.

    Each is there once, however many others it lies on.

    Raises:
        InputError: it is neither.
    """
    text = data.decode(errors="replace").strip()
    rows = _json_rows(text) if text.startswith("{") else _pair_rows(text)
    found: dict[str, BlockDevice] = {}
    parents: dict[str, dict[str, None]] = {}
    for count, row in enumerate(rows, 1):
        if count > MAX_DEVICE_COUNT:
            raise InputError(f"read lsblk's output: expected at most {MAX_DEVICE_COUNT} devices")
        device = _device(row)
        found.setdefault(device.kernel_name, device)
        names = parents.setdefault(device.kernel_name, {})
        names.update(dict.fromkeys(device.parents))
    return tuple(_with_parents(device, tuple(parents[name])) for name, device in found.items())


def parse_probe(data: bytes) -> Mapping[str, str]:
    """What `blkid -p -o udev` finds on a device, such as ID_FS_TYPE; no bad line is kept."""
    found = {}
    for line in data.decode(errors="replace").splitlines():
        name, separator, value = line.partition("=")
        if separator:
            found[name] = plain_text(_unescape(value) if name.endswith("_ENC") else value)
    return found


def plain_text(value: str) -> str:
    """The same if a terminal can show it, else an empty one."""
    return value if value.isprintable() and "\N{REPLACEMENT CHARACTER}" not in value else ""


def table_id(value: str) -> str:
    """A partition table's identifier as we have it; empty when it is none."""
    match = _TABLE_ID.fullmatch(value.lower())
    if not match:
        return ""
    return match[1] if "-" in match[1] else match[1].rjust(8, "0")


def _json_rows(text: str) -> Iterator[Row]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError("read lsblk's output: expected JSON") from error
    waiting = deque([("", _objects(document.get("blockdevices")))])
    while waiting:
        parent, objects = waiting.popleft()
        for one in objects:
            row = {str(key).upper(): _text(value) for key, value in one.items()}
            row["PKNAME"] = row.get("PKNAME") or parent
            yield row
            if one.get("children"):
                waiting.append((row.get("KNAME", ""), _objects(one["children"])))


def _objects(value: object) -> list[dict[str, object]]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise InputError("read lsblk's output: expected a list of block devices")
    return value


def _text(value: object) -> str:
    """Numbers were strings before util-linux 2.33."""
    return str(value) if isinstance(value, str | int) else ""


def _pair_rows(text: str) -> Iterator[Row]:
    for line in text.splitlines():
        yield {key: _unescape(value) for key, value in _PAIR.findall(line)}


def _unescape(value: str) -> str:
    """Undo hexadecimal escapes, which stand for bytes."""
    plain = _HEX_ESCAPE.sub(lambda match: chr(0xDC00 + int(match[1], 16)), value)
    # A low surrogate is an escaped byte, as surrogateescape has those from 128.
    raw = b"".join(
        bytes((ord(one) - 0xDC00,)) if 0xDC00 <= ord(one) < 0xDD00 else one.encode(errors="replace")
        for one in plain
    )
    return raw.decode(errors="replace")


def _device(row: Row) -> BlockDevice:
    name, kernel_name = row.get("NAME", ""), row.get("KNAME", "")
    number = row.get("MAJ:MIN", "").strip()
    path = row.get("PATH") or _path(name, kernel_name)
    if not kernel_name or not number or not f"{kernel_name}{path}".isprintable():
        raise InputError("read lsblk's output: expected KNAME and MAJ:MIN of each device")
    size = row.get("SIZE", "")
    parent = row.get("PKNAME", "")
    return BlockDevice(
        kernel_name=kernel_name,
        path=path,
        number=number,
        type=row.get("TYPE", ""),
        parents=(parent,) if parent else (),
        file_system=plain_text(row.get("FSTYPE", "")),
        uuid=plain_text(row.get("UUID", "")),
        label=plain_text(row.get("LABEL", "")),
        partition_uuid=plain_text(row.get("PARTUUID", "")).lower(),
        table=plain_text(row.get("PTTYPE", "")),
        table_id=table_id(row.get("PTUUID", "")),
        model=plain_text(row.get("MODEL", "")).strip(),
        size=int(size) if size.isdecimal() and len(size) <= 20 else 0,
    )


def _path(name: str, kernel_name: str) -> str:
    """The device node, from before util-linux 2.33, which has no column PATH."""
    if kernel_name.startswith("dm-") and name != kernel_name:
        return f"/dev/mapper/{name}"
    return "/dev/" + kernel_name.replace("!", "/")


def _with_parents(device: BlockDevice, parents: tuple[str, ...]) -> BlockDevice:
    return device if device.parents == parents else replace(device, parents=parents)
