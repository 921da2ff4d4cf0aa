"""Lists of free blocks: what the programs print is told exactly, anything else is refused."""

import re

import pytest

from bundler.codec.free_list import BlockSpan, ExtList, XfsList, is_ext, xfs_span
from bundler.errors import InputError

EXT = b"""\
Filesystem volume name:   <none>
Filesystem features:      has_journal ext_attr extent 64bit flex_bg
Filesystem state:         clean
Block count:              300
Free blocks:              112
First block:              1
Block size:               1024
Group descriptor size:    64
Blocks per group:         100


Group 0: (Blocks 1-100) csum 0x072b [ITABLE_ZEROED]
  Primary superblock at 1, Group descriptors at 2-2
  5 free blocks, 2037 free inodes, 2 directories, 2037 unused inodes
  Free blocks: 50, 60-61, 99-100
  Free inodes: 12-2048
Group 1: (Blocks 101-200) csum 0x65ec [INODE_UNINIT, BLOCK_UNINIT, ITABLE_ZEROED]
  100 free blocks, 2048 free inodes, 0 directories, 2048 unused inodes
  Free blocks: 101-200
  Free inodes: 2049-4096
Group 2: (Blocks 201-299)
  0 free blocks, 0 free inodes, 0 directories
  Free blocks: \n\
  Free inodes: \n""".replace(b"112", b"105")
XFS = b"""\
magicnum = 0x58465342
blocksize = 4096
dblocks = 190
agblocks = 100
agcount = 2
logstart = 65542
inprogress = 0
rblocks = 0
    agno    agbno      len
       0        9        1
       0        6        1
       0       24       76
       1       80       10
   from      to extents  blocks    pct
      1       1       2       2   2.27
      8      15       1      10  11.36
     64     127       1      76  86.36"""


def ext_runs(text: bytes) -> list[tuple[int, int]]:
    return list(ExtList(text.splitlines(), "disk").runs())


def xfs_runs(text: bytes) -> list[tuple[int, int]]:
    return list(XfsList(text.splitlines(), "disk").runs())


def test_ext() -> None:
    assert ext_runs(EXT) == [(50, 51), (60, 62), (99, 101), (101, 201)]
    assert ExtList(EXT.splitlines(), "disk").span == BlockSpan(block_size=1024, block_count=300)


def test_xfs() -> None:
    assert xfs_runs(XFS) == [(6, 7), (9, 10), (24, 100), (180, 190)]
    assert XfsList(XFS.splitlines(), "disk").span.size == 190 * 4096


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"clean", b"not clean"),
        (b"clean", b"clean with errors"),
        (b"Filesystem state: ", b"Filesystem mood: "),
        (b"extent", b"needs_recovery"),
        (b"extent", b"bigalloc"),
        (b"extent", b"journal_dev"),
        (b"<none>", b"x\nBlock size: 512"),
        (b"<none>", b"x\nGroup 0: (Blocks 1-100)"),
        (b"<none>", b"x\nFilesystem features: none"),
        (b"105", b"104"),
        (b"105", b"-105"),
        (b"count:              300", b"count:              299"),
        (b"count:              300", b"count:              301"),
        (b"First block:              1", b"First block:              0"),
        (b"50, ", b""),
        (b"50, ", b"50-51, "),
        (b"50, 60-61", b"60-61, 50"),
        (b"60-61", b"61-60"),
        (b"60-61", b"60-0x3d"),
        (b"60-61", b"60 61"),
        (b"99-100", b"100-101"),
        (b"50, ", b"50, 50, "),
        (b"  5 free blocks", b"  6 free blocks"),
        (b"  5 free blocks", b"  5 free clusters"),
        (b"  Free blocks: 101-200\n", b""),
        (b"  Free blocks: 101-200\n", b"  Free blocks: 101-200\n  Free blocks: 101-200\n"),
        (b"Group 1: ", b"Group 2: "),
        (b"(Blocks 101-200)", b"(Blocks 102-200)"),
        (b"(Blocks 201-299)", b"(Blocks 201-99)"),
        (EXT[EXT.index(b"Group 2") :], b""),
        (EXT[EXT.index(b"Group 0:") :], b""),
    ],
)
def test_ext_that_contradicts_itself(old: bytes, new: bytes) -> None:
    assert old in EXT
    with pytest.raises(InputError, match=r"^disk: [ -~]+$"):
        ext_runs(EXT.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"inprogress = 0", b"inprogress = 1"),
        (b"logstart = 65542", b"logstart = 0"),
        (b"rblocks = 0", b"rblocks = 9"),
        (b"blocksize = 4096", b"blocksize = (null)"),
        (b"blocksize = 4096\n", b""),
        (b"blocksize = 4096", b"blocksize = 4096\nblocksize = 512"),
        (b"       0        6        1\n", b""),
        (b"       0       24       76", b"       0       24       77"),
        (b"       0       24       76", b"       0       24       75"),
        (b"       0       24       76", b"       0       24       -1"),
        (b"       0       24       76", b"       0       24        0"),
        (b"       0       24       76", b"       0       24       76 1"),
        (b"       0       24       76", b"       2       24       76"),
        (b"       1       80       10", b"       1       80       11"),
        (b"       1       80       10", b"       1       80       10\n       0  20  1"),
        (b"76  86.36", b"75  86.36"),
        (XFS[XFS.index(b"   from") :], b""),
        (XFS[XFS.index(b"    agno") :], b""),
        (XFS[XFS.index(b"     64 ") :], b"Metadata CRC error detected"),
    ],
)
def test_xfs_that_contradicts_itself(old: bytes, new: bytes) -> None:
    assert old in XFS
    with pytest.raises(InputError, match=r"^disk: [ -~]+$"):
        xfs_runs(XFS.replace(old, new, 1))


def test_cut_short_anywhere() -> None:
    for text, runs in ((EXT, ext_runs), (XFS, xfs_runs)):
        ends = [match.start() for match in re.finditer(b"\n", text)]
        complete = 0
        for end in ends:
            try:
                runs(text[:end])
                complete += 1
            except InputError:
                continue
        # Of the last group of ext nothing more is needed than its line.
        assert complete <= 3


@pytest.mark.parametrize(
    ("start", "span"),
    [
        (b"XFSB" + (4096).to_bytes(4, "big") + (9).to_bytes(8, "big"), 9 * 4096),
        (b"XFSB" + (4097).to_bytes(4, "big") + (9).to_bytes(8, "big"), None),
        (b"XFSB" + (4096).to_bytes(4, "big") + bytes(8), None),
        (b"XFSB", None),
        (b"", None),
    ],
)
def test_the_start_of_xfs(start: bytes, span: int | None) -> None:
    found = xfs_span(start)
    assert (found and found.size) == span


def test_the_start_of_ext() -> None:
    assert is_ext(bytes(1080) + b"\x53\xef" + bytes(9))
    assert not is_ext(bytes(2048))
    assert not is_ext(b"")
