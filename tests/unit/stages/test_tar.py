"""One-member tar archives: made, read back, and refused."""

import io
import tarfile
from itertools import islice, repeat

import pytest

from bundler.errors import InputError
from bundler.model.bundle import Extent
from bundler.stages.sparse_map import MAX_MAP_ENTRIES
from bundler.stages.tar import pack, packed_size, unpack
from tests.support.hostile import (
    END,
    HOSTILE_ARCHIVES,
    SIZE,
    HostileArchive,
    base256,
    data,
    endless,
    entries,
    extended,
    extension,
    header,
    octal,
    record,
    sparse,
)
from tests.support.images import (
    MIB,
    Layout,
    chunked,
    dense,
    image_bytes,
    layout_data,
    random_bytes,
    striped,
)

TIB = 2**40


def pack_bytes(layout: Layout, contents: bytes, *, name: str = "image", seed: int = 0) -> bytes:
    return b"".join(pack(name, layout.size, layout.extents, chunked(contents, seed)))


def unpack_bytes(archive: bytes, size: int, *, seed: int = 0) -> bytes:
    """The image that an archive holds; checks that offsets rise."""
    image = bytearray(size)
    end = 0
    for offset, chunk in unpack(chunked(archive, seed), size=size):
        assert offset >= end
        end = offset + len(chunk)
        assert end <= size
        image[offset:end] = chunk
    return bytes(image)


def drain(archive: bytes, *, size: int = SIZE) -> bytes:
    return b"".join(bytes(chunk) for _, chunk in unpack([archive], size=size))


LAYOUTS = {
    **{f"{count} extents": striped(count) for count in (0, 1, 2, 4, 5, 24, 25, 26, 46, 47)},
    "4 extents up to the end": striped(4, ends_in_hole=False),
    "25 extents up to the end": striped(25, ends_in_hole=False),
    "10,000 extents": striped(10_000, run=512),
    **{f"{size} bytes": dense(size) for size in (1, 511, 512, 513, 1023, 1024, 1025)},
    **{f"{size} bytes": dense(size) for size in (10 * MIB - 1, 10 * MIB, 10 * MIB + 1)},
    "a hole of 1 byte": Layout(size=1, extents=()),
    "a hole of 1 TiB": Layout(size=TIB, extents=()),
    "hole, then 5 bytes": Layout(size=1029, extents=(Extent(offset=1024, size=5),)),
    "data, then a hole": Layout(size=5000, extents=(Extent(offset=0, size=512),)),
    "extents that touch": Layout(
        size=1024, extents=(Extent(offset=0, size=512), Extent(offset=512, size=512))
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_what_is_packed_is_unpacked(name: str) -> None:
    layout = LAYOUTS[name]
    contents = layout_data(layout, seed=1)
    archive = pack_bytes(layout, contents)
    assert len(archive) % 10240 == 0
    assert len(archive) == packed_size(layout.size, layout.extents)
    if layout.size < TIB:
        assert unpack_bytes(archive, layout.size) == image_bytes(layout, contents)
    else:
        assert list(unpack([archive], size=layout.size)) == []


@pytest.mark.parametrize("seed", range(10))
def test_chunks_do_not_matter(seed: int) -> None:
    layout = striped(26)
    contents = layout_data(layout, seed=2)
    archive = pack_bytes(layout, contents)
    assert pack_bytes(layout, contents, seed=seed) == archive
    assert unpack_bytes(archive, layout.size, seed=seed) == image_bytes(layout, contents)


@pytest.mark.parametrize(
    ("name", "kind"), [("5 extents", tarfile.GNUTYPE_SPARSE), ("512 bytes", tarfile.REGTYPE)]
)
def test_an_archive_is_what_every_reader_takes(name: str, kind: bytes) -> None:
    layout = LAYOUTS[name]
    contents = layout_data(layout, seed=3)
    archive = pack_bytes(layout, contents)
    assert archive[257:265] == b"ustar  \0"
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        (member,) = tar.getmembers()
        assert (member.name, member.type, member.size) == ("image", kind, layout.size)
        assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "root", "root")
        assert (member.mode, member.mtime) == (0o644, 0)
        file = tar.extractfile(member)
        assert file is not None
        assert file.read() == image_bytes(layout, contents)


@pytest.mark.parametrize("size", [8 * 1024**3 - 1, 8 * 1024**3, 8 * 1024**3 + 1, 10 * TIB + 77])
def test_sizes_that_octal_digits_cannot_hold(size: int) -> None:
    """Sizes and offsets in base 256, without the data: there is next to none."""
    last = Extent(offset=size // 512 * 512 - 512, size=512 + size % 512)
    layout = Layout(size=size, extents=(Extent(offset=512, size=512), last))
    contents = layout_data(layout, seed=4)
    archive = pack_bytes(layout, contents)
    assert (archive[483] == 0x80) == (size >= 8 * 1024**3)
    runs = [(offset, bytes(chunk)) for offset, chunk in unpack([archive], size=size)]
    assert runs == [(512, contents[:512]), (last.offset, contents[512:])]
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        (member,) = tar.getmembers()
        assert member.size == size


def test_a_plain_member_of_9_gib_is_announced_in_base_256() -> None:
    size = 9 * 1024**3
    stream = pack("image", size, dense(size).extents, repeat(bytes(MIB), size // MIB))
    first = bytes(next(iter(stream)))
    assert first[124:136] == base256(size)
    assert first[156:157] == b"0"
    assert packed_size(size, dense(size).extents) % 10240 == 0


@pytest.mark.parametrize("name", ["n", "n" * 99, "\u00e4" * 49, "-rf", "a b", "x.part.0"])
def test_names(name: str) -> None:
    archive = pack_bytes(dense(5), b"12345", name=name)
    with tarfile.open(fileobj=io.BytesIO(archive), encoding="utf-8") as tar:
        assert tar.getnames() == [name]


@pytest.mark.parametrize("name", ["", "n" * 100, "\u00e4" * 50])
def test_names_that_need_extensions_are_our_bug(name: str) -> None:
    with pytest.raises(ValueError, match="a member's name has 1 to 99 bytes"):
        pack_bytes(dense(5), b"12345", name=name)


@pytest.mark.parametrize(
    "extents",
    [
        [(512, 512), (0, 512)],
        [(0, 1024), (512, 512)],
        [(0, 512), (0, 512)],
        [(0, 0)],
        [(0, -512)],
        [(-512, 1024)],
        [(100, 512)],
        [(0, 100)],
        [(0, 8192), (8192, 512)],
        [(8192, 512)],
    ],
)
def test_extents_that_break_the_rules_are_our_bug(extents: list[tuple[int, int]]) -> None:
    runs = [Extent(offset=offset, size=size) for offset, size in extents]
    with pytest.raises(ValueError, match="is out of order or range"):
        list(pack("image", SIZE, runs, []))


@pytest.mark.parametrize("size", [0, 4095, 4097, 8192])
def test_data_that_is_shorter_or_longer_than_its_extents(size: int) -> None:
    extents = [Extent(offset=4096, size=4096)]
    with pytest.raises(InputError, match=f"expected 4096 bytes of data, got {size}"):
        list(pack("image", SIZE, extents, [bytes(size)]))


HONEST_ARCHIVES = {
    "plain": header() + data() + END,
    "without a type": header(b"\0") + data() + END,
    "POSIX": header(magic=b"ustar\x0000") + data() + END,
    "oldest format": header(magic=bytes(8)) + data() + END,
    "size in base 256": header(size=base256(SIZE)) + data() + END,
    "size padded with blanks": header(size=b"      20000 ") + data() + END,
    "long name": record(b"L", b"n" * 300 + b"\0") + header() + data() + END,
    "pax records": record(b"x", b"30 mtime=1700000000.123456789\n") + header() + data() + END,
    "global pax records": record(b"g", b"13 comment=ab\n") + header() + data() + END,
    "a megabyte of padding": header() + data() + bytes(MIB),
    "sparse up to the end": sparse((0, SIZE)) + data() + END,
    "empty extents": sparse((0, 0), (0, SIZE), (SIZE, 0)) + data() + END,
    "map across headers": (
        extended((0, 512), (512, 512), (1024, 512), (1536, 512), stored=SIZE)
        + extension((2048, 512), (2560, SIZE - 2560))
        + data()
        + END
    ),
    "map across three headers": (
        extended((0, 0), (0, 0), (0, 0), (0, 0), stored=SIZE)
        + extension(*[(0, 0)] * 21, is_extended=True)
        + extension((0, SIZE))
        + data()
        + END
    ),
}


@pytest.mark.parametrize("name", HONEST_ARCHIVES)
@pytest.mark.parametrize("seed", range(3))
def test_archives_of_other_tools(name: str, seed: int) -> None:
    assert unpack_bytes(HONEST_ARCHIVES[name], SIZE, seed=seed) == data()


@pytest.mark.parametrize("hostile", HOSTILE_ARCHIVES, ids=str)
@pytest.mark.parametrize("seed", range(2))
def test_hostile_archives(hostile: HostileArchive, seed: int) -> None:
    with pytest.raises(InputError, match=hostile.message):
        unpack_bytes(hostile.archive, SIZE, seed=seed)


def test_an_honest_archive_cut_anywhere() -> None:
    archive = extended((0, 512), (512, 512), (1024, 512), (1536, 512), stored=SIZE)
    archive += extension((2048, SIZE - 2048)) + data() + END
    for length in [*range(0, 1100, 7), *range(1100, len(archive), 101), len(archive) - 1]:
        with pytest.raises(InputError, match=r"ends [0-9]+ bytes early|end is missing"):
            drain(archive[:length])


def test_an_archive_with_a_bit_flipped_in_its_header() -> None:
    archive = bytearray(HONEST_ARCHIVES["map across headers"])
    for position in range(512):
        for bit in (0, 3, 7):
            archive[position] ^= 1 << bit
            if position < 148 or position >= 156:
                with pytest.raises(InputError, match="untar image: "):
                    drain(bytes(archive))
            archive[position] ^= 1 << bit
    assert drain(bytes(archive)) == data()


@pytest.mark.slow  # four million entries are read before it is given up
def test_extension_headers_without_end() -> None:
    """A map that goes on for ever is given up at a bound, not when the memory is full."""
    block = extension(*[(0, 0)] * 21, is_extended=True)
    stream = endless(block, head=extended((0, 0), (0, 0), (0, 0), (0, 0)))
    with pytest.raises(InputError, match=f"more than {MAX_MAP_ENTRIES} sparse extents"):
        list(unpack(stream, size=SIZE))


@pytest.mark.parametrize("kind", [b"L", b"x", b"g"])
def test_header_extensions_without_end(kind: bytes) -> None:
    with pytest.raises(InputError, match="too many header extensions"):
        list(unpack(endless(record(kind, b"10 a=bcde\n")), size=SIZE))


def test_zeros_without_end_behind_the_image() -> None:
    with pytest.raises(InputError, match="zeros behind the image"):
        list(unpack(endless(bytes(MIB), head=header() + data()), size=SIZE))


def test_data_without_end_in_chunks_of_nothing() -> None:
    chunks = islice(endless(b"", head=header() + data()[:100]), 10_000)
    with pytest.raises(InputError, match="ends 8092 bytes early"):
        list(unpack(chunks, size=SIZE))


def test_a_map_entry_of_letters() -> None:
    bad = header(b"S", 512, sparse_map=b"letters here" + octal(512), real_size=SIZE)
    with pytest.raises(InputError, match="is no size or offset"):
        drain(bad + data(512) + END)


def test_an_unused_entry_ends_the_map() -> None:
    unused = bytes(24)
    head = header(
        b"S", 512, sparse_map=entries((0, 512)) + unused + entries((0, 512)), real_size=SIZE
    )
    assert drain(head + data(512) + END) == data(512)


@pytest.mark.parametrize("seed", range(30))
def test_random_bytes_behind_an_honest_header_never_crash(seed: int) -> None:
    noise = random_bytes(3000, seed)
    for head in (header(), extended((0, 512)), record(b"x", b"")):
        with pytest.raises(InputError, match="untar image: "):
            drain(head + noise)
