"""Block devices as several versions of lsblk and blkid describe them."""

import pytest

from bundler.codec.block_devices import parse_block_devices, parse_probe, table_id
from bundler.errors import InputError
from bundler.model.block_device import BlockDevice

# lsblk of util-linux 2.38 (numbers, PATH) and of 2.30 (strings, no PATH).
NEW = b"""{"blockdevices": [{"name": "vda", "kname": "vda", "path": "/dev/vda", "pkname": null,
  "maj:min": "252:0", "type": "disk", "size": 1024, "pttype": "gpt", "children": [
    {"name": "vda1", "kname": "vda1", "path": "/dev/vda1", "pkname": "vda", "maj:min": "252:1",
     "type": "part", "uuid": "u", "partuuid": "A-B", "size": 512}]}]}"""
OLD = b"""{"blockdevices": [{"name": "vg-root", "kname": "dm-0", "pkname": null,
  "maj:min": "253:0", "type": "lvm", "size": "1024", "label": "a b"}]}"""
# util-linux 2.23, which has no JSON.
PAIRS = b"""\
NAME="xvda" KNAME="xvda" PKNAME="" MAJ:MIN="202:0  " TYPE="disk" SIZE="1024"
NAME="xvda1" KNAME="xvda1" PKNAME="xvda" MAJ:MIN="202:1" TYPE="part" LABEL="\\x22\\xc3\\xa9"
"""


def test_versions_of_lsblk() -> None:
    assert parse_block_devices(NEW) == (
        BlockDevice(
            kernel_name="vda", path="/dev/vda", number="252:0", type="disk", table="gpt", size=1024
        ),
        BlockDevice(
            kernel_name="vda1",
            path="/dev/vda1",
            number="252:1",
            type="part",
            parents=("vda",),
            uuid="u",
            partition_uuid="a-b",
            size=512,
        ),
    )
    (old,) = parse_block_devices(OLD)
    assert (old.path, old.size, old.label) == ("/dev/mapper/vg-root", 1024, "a b")
    disk, partition = parse_block_devices(PAIRS)
    assert (disk.path, disk.number, disk.parents) == ("/dev/xvda", "202:0", ())
    assert (partition.parents, partition.label, partition.size) == (("xvda",), '"é', 0)


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"{}",
        b'{"blockdevices": {}}',
        b'{"blockdevices": [7]}',
        b'{"blockdevices": [{"name": "vda", "children": [7]}]}',
        b'{"blockdevices": [{"kname": "vda", "maj:min": "8:0", "children": 7}]}',
        b'{"blockdevices": ' + b"[" * 100_000,
        b"lsblk: cannot",
        b'{"blockdevices": [{"kname": "v\\ud800", "maj:min": "8:0"}]}',
    ],
    ids=range(9),
)
def test_what_lsblk_does_not_print(data: bytes) -> None:
    with pytest.raises(InputError, match="read lsblk's output: expected"):
        parse_block_devices(data)


def test_blkid() -> None:
    data = (
        b"ID_FS_LABEL=a_b\nID_FS_LABEL_ENC=a\\x20b\xc3\xa9\nrubbish\nID_FS_UUID_ENC=\\x1b[2J\n"
        b"ID_FS_TYPE=ext4\n"
    )
    assert parse_probe(data) == {
        "ID_FS_LABEL": "a_b",
        "ID_FS_LABEL_ENC": "a bé",
        "ID_FS_UUID_ENC": "",
        "ID_FS_TYPE": "ext4",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1a2b3c4d", "1a2b3c4d"),
        ("0x1A2B", "00001a2b"),
        ("30AF5F88-1111-4222-8333-444455556666", "30af5f88-1111-4222-8333-444455556666"),
        ("30af5f88-1111", ""),
        ("../../etc", ""),
        ("", ""),
    ],
)
def test_identifiers_of_tables(text: str, expected: str) -> None:
    assert table_id(text) == expected
