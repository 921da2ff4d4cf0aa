"""Lines of an fstab for instance store volumes."""

import pytest

from bundler.model.snapshot import BLOCK_SIZE
from bundler.workflow.snapshot_bytes import MAX_BLOCK_COUNT
from bundler.workflow.snapshot_fstab import ephemeral_lines, find_ephemeral_lines


@pytest.mark.parametrize(
    ("line", "is_ephemeral"),
    [
        ("/dev/sdb\t/mnt auto defaults,nofail 0 2", True),
        ("/dev/xvdc /data ext4 defaults", True),
        ("LABEL=ephemeral0 /mnt ext4", True),
        ("  /dev/sde3   swap swap", True),
        ("/dev/sda1 / ext4 defaults 0 1", False),
        ("/dev/sdf /data ext4", False),
        ("LABEL=/ / ext4 defaults", False),
        ("# /dev/sdb /mnt auto", False),
        ("#/dev/sdb /mnt auto", False),
        ("", False),
    ],
)
def test_lines(line: str, is_ephemeral: bool) -> None:
    expected = (" ".join(line.split()),) if is_ephemeral else ()
    assert ephemeral_lines(f"# fstab\n{line}\nproc /proc proc\n") == expected


class CountingReader:
    """A snapshot of one byte, over and over."""

    def __init__(self, filler: int) -> None:
        self.filler = filler
        self.indexes: list[int] = []

    def read_block(self, snapshot_id: str, index: int) -> bytes | None:
        self.indexes.append(index)
        return bytes([self.filler]) * BLOCK_SIZE if self.filler else None


@pytest.mark.parametrize("filler", [0, 0x53, 0xFF])
def test_what_is_no_file_system_costs_little(filler: int) -> None:
    reader = CountingReader(filler)
    assert find_ephemeral_lines(reader, "snap-1") == ()
    assert len(reader.indexes) == len(set(reader.indexes)) <= MAX_BLOCK_COUNT
