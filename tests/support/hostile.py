"""Archives that no honest program makes, and bundles that are validly signed around them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from gzip import compress
from pathlib import Path

from tests.support.bundles import encrypted, sha1_hex, store_bundle

BLOCK = 512
SIZE = 8192
"""Bytes that the image in a hostile archive is told to have."""

PAX_MAGIC = b"ustar\x0000"
GNU_MAGIC = b"ustar  \0"
END = bytes(2 * BLOCK)

Entry = tuple[int, int]
"""Offset and size of one sparse extent."""


def octal(number: int, width: int = 12) -> bytes:
    return b"%0*o\0" % (width - 1, number)


def base256(number: int, width: int = 12) -> bytes:
    marked: int = number % 256**width | 0x80 << 8 * (width - 1)
    return marked.to_bytes(width, "big")


def entries(*pairs: Entry) -> bytes:
    return b"".join(octal(offset) + octal(size) for offset, size in pairs)


def header(
    kind: bytes = b"0",
    size: bytes | int = SIZE,
    *,
    sparse_map: bytes = b"",
    is_extended: bool = False,
    real_size: bytes | int | None = None,
    magic: bytes = GNU_MAGIC,
    name: bytes = b"image",
    checksum: bytes | None = None,
) -> bytes:
    """One tar header, with whatever is asked for and a right checksum."""
    block = bytearray(BLOCK)
    block[0 : len(name)] = name
    block[100:124] = octal(0o644, 8) + octal(0, 8) + octal(0, 8)
    block[124:136] = octal(size) if isinstance(size, int) else size
    block[136:148] = octal(0)
    block[156:157] = kind
    block[257:265] = magic
    block[386 : 386 + len(sparse_map)] = sparse_map
    if is_extended:
        block[482] = 1
    if real_size is not None:
        block[483:495] = octal(real_size) if isinstance(real_size, int) else real_size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block) if checksum is None else checksum
    return bytes(block)


def sparse(*pairs: Entry, size: int = SIZE, stored: int | None = None) -> bytes:
    """A header of an old-GNU sparse member with up to four extents."""
    stored = sum(pair[1] for pair in pairs) if stored is None else stored
    return header(b"S", stored, sparse_map=entries(*pairs), real_size=size)


def extended(*pairs: Entry, size: int = SIZE, stored: int = 0) -> bytes:
    """A header of a sparse member whose map goes on in extension headers."""
    return header(b"S", stored, sparse_map=entries(*pairs), is_extended=True, real_size=size)


def extension(*pairs: Entry, is_extended: bool = False) -> bytes:
    """An extension header of a sparse map."""
    return (entries(*pairs).ljust(504, b"\0") + bytes([is_extended])).ljust(BLOCK, b"\0")


def record(kind: bytes, data: bytes, *, size: int | None = None) -> bytes:
    """A header extension: a long name, or pax records."""
    padded = data + bytes(-len(data) % BLOCK)
    return header(kind, len(data) if size is None else size, magic=PAX_MAGIC) + padded


def data(size: int = SIZE) -> bytes:
    return bytes(range(1, 256)) * (size // 255) + b"\x01" * (size % 255)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostileArchive:
    """A tar stream that must be refused, and what the refusal must say."""

    damage: str
    archive: bytes
    message: str

    def __str__(self) -> str:
        return self.damage


def _hostile(damage: str, message: str, archive: bytes) -> HostileArchive:
    return HostileArchive(damage=damage, archive=archive, message=message)


_OF_TYPE = "expected a plain or sparse file, got a member of type"
_MAP = "overlaps, is out of order or lies outside"
_SECOND = "expected one member, got more behind it"
_SHORT = "the archive ends [0-9]+ bytes early"
_SIZE = f"expected {SIZE} bytes, got a member of"
_CHECKSUM = "checksum does not hold"
_NO_NUMBER = "is no size or offset"
_ABSURD = "is absurd"

_PLAIN = header() + data()
_HALF = SIZE // 2
_FOUR = ((0, 512), (1024, 512), (2048, 512), (3072, 512))

HOSTILE_ARCHIVES: tuple[HostileArchive, ...] = (
    _hostile("two members", _SECOND, _PLAIN + _PLAIN + END),
    _hostile("second member behind the end blocks", _SECOND, _PLAIN + END + _PLAIN + END),
    _hostile("one byte behind the end blocks", _SECOND, _PLAIN + END + bytes(9000) + b"x"),
    _hostile("symlink", _OF_TYPE, header(b"2", 0) + END),
    _hostile("hard link", _OF_TYPE, header(b"1", 0) + END),
    _hostile("character device", _OF_TYPE, header(b"3", 0) + END),
    _hostile("block device", _OF_TYPE, header(b"4", 0) + END),
    _hostile("directory", _OF_TYPE, header(b"5", 0) + END),
    _hostile("fifo", _OF_TYPE, header(b"6", 0) + END),
    _hostile("contiguous file", _OF_TYPE, header(b"7") + data() + END),
    _hostile("long link name", _OF_TYPE, record(b"K", b"target\0") + _PLAIN + END),
    _hostile("volume header", _OF_TYPE, header(b"V", 0) + _PLAIN + END),
    _hostile("rest of a file of another volume", _OF_TYPE, header(b"M") + data() + END),
    _hostile("symlink before the image", _OF_TYPE, header(b"2", 0) + _PLAIN + END),
    _hostile(
        "pax sparse 1.0",
        "pax sparse members are not supported",
        record(b"x", b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n") + _PLAIN + END,
    ),
    _hostile(
        "pax sparse in a global record",
        "pax sparse members are not supported",
        record(b"g", b"22 GNU.sparse.major=1\n") + _PLAIN + END,
    ),
    _hostile(
        "pax record with another size",
        "pax sparse members are not supported",
        record(b"x", b"13 size=4096\n") + _PLAIN + END,
    ),
    _hostile("extents overlap", _MAP, sparse((0, 4096), (2048, 4096)) + data() + END),
    _hostile("extents twice the same", _MAP, sparse((0, 4096), (0, 4096)) + data() + END),
    _hostile("extents out of order", _MAP, sparse((4096, 4096), (0, 4096)) + data() + END),
    _hostile("extent behind the end", _MAP, sparse((0, 512), (SIZE, 512)) + data(1024) + END),
    _hostile("extent across the end", _MAP, sparse((SIZE - 512, 1024)) + data(1024) + END),
    _hostile(
        "extent overlaps across an extension header",
        _MAP,
        extended(*_FOUR, stored=5 * 512) + extension((3072, 512)) + data(5 * 512) + END,
    ),
    _hostile(
        "map claims 1 EiB",
        f"expected {SIZE} bytes, got a member of {2**60}",
        header(
            b"S",
            512,
            sparse_map=octal(0) + octal(512),
            real_size=base256(2**60),
        )
        + data(512)
        + END,
    ),
    _hostile(
        "extent of 1 EiB",
        _MAP,
        header(b"S", 512, sparse_map=octal(0) + base256(2**60), real_size=SIZE) + data(512) + END,
    ),
    _hostile(
        "offset of 2^80",
        _ABSURD,
        header(b"S", 512, sparse_map=base256(2**80) + octal(512), real_size=SIZE) + END,
    ),
    _hostile(
        "extent whose end wraps around 2^64",
        _ABSURD,
        header(b"S", 512, sparse_map=base256(2**64 - 512) + octal(1024), real_size=SIZE) + END,
    ),
    _hostile("negative base-256 size", _NO_NUMBER, header(size=base256(-SIZE)) + data() + END),
    _hostile(
        "negative base-256 offset",
        _NO_NUMBER,
        header(b"S", 512, sparse_map=base256(-512) + octal(512), real_size=SIZE) + data() + END,
    ),
    _hostile("size with a sign", _NO_NUMBER, header(size=b"-0000020000\0") + data() + END),
    _hostile("size with an 8", _NO_NUMBER, header(size=b"00000080000\0") + data() + END),
    _hostile("size with a NUL inside", _NO_NUMBER, header(size=b"0000\x000020000") + data() + END),
    _hostile("wrong checksum", _CHECKSUM, header(checksum=octal(1, 8)) + data() + END),
    _hostile("checksum of letters", _NO_NUMBER, header(checksum=b"checksum") + data() + END),
    _hostile("no tar at all", "not a tar archive", b"<html>" * 4000),
    _hostile("nothing but zeros", _CHECKSUM, bytes(20 * BLOCK)),
    _hostile("empty", _SHORT, b""),
    _hostile("cut in the header", _SHORT, _PLAIN[:511]),
    _hostile("cut behind the header", _SHORT, _PLAIN[:512]),
    _hostile("cut in the data", _SHORT, _PLAIN[:-1]),
    _hostile("cut in the data's padding", _SHORT, header(size=SIZE) + data()[:-1]),
    _hostile("no end blocks", "the archive's end is missing", _PLAIN),
    _hostile("one end block", "the archive's end is missing", _PLAIN + bytes(BLOCK)),
    _hostile("cut in the end blocks", "the archive's end is missing", _PLAIN + END[:-1]),
    _hostile("map without its extension header", _SHORT, extended(*_FOUR)),
    _hostile("cut in an extension header", _SHORT, extended(*_FOUR) + extension((4096, 512))[:511]),
    _hostile(
        "map without its second extension header",
        _SHORT,
        extended(*_FOUR) + extension((4096, 0), is_extended=True),
    ),
    _hostile(
        "map bigger than what is stored",
        "the sparse map holds 4096 bytes, the member 512",
        sparse((0, 4096), stored=512) + data(512) + END,
    ),
    _hostile(
        "map smaller than what is stored",
        "the sparse map holds 512 bytes, the member 4096",
        sparse((0, 512), stored=4096) + data(4096) + END,
    ),
    _hostile("map bigger than the archive", _SHORT, sparse((0, 8192)) + data(512)),
    _hostile("smaller than told", _SIZE, header(size=_HALF) + data(_HALF) + END),
    _hostile("bigger than told", _SIZE, header(size=2 * SIZE) + data(2 * SIZE) + END),
    _hostile("sparse and smaller than told", _SIZE, sparse((0, 512), size=_HALF) + data(512) + END),
    _hostile("sparse and bigger than told", _SIZE, sparse((0, 512), size=2 * SIZE) + data(512)),
    _hostile("empty member", _SIZE, header(size=0) + END),
    _hostile("long name of 1 GiB", "a header extension of", record(b"L", b"", size=2**30)),
    _hostile(
        "endless long names", "too many header extensions", record(b"L", b"n\0") * 100 + _PLAIN
    ),
    _hostile(
        "endless empty extension headers",
        "an extension of the sparse map is empty",
        extended(*_FOUR) + extension(is_extended=True) * 1000,
    ),
)
"""Archives that claim to hold an image of SIZE bytes, named by what is wrong with them."""


def endless(block: bytes, head: bytes = b"") -> Iterator[bytes]:
    """A stream that never ends."""
    yield head
    while True:
        yield block


def seal_archive(
    directory: Path,
    archive: bytes,
    *,
    size: int = SIZE,
    name: str = "image",
    make_gzip: Callable[[bytes], bytes] = lambda archive: compress(archive, 6, mtime=0),
) -> Path:
    """A bundle whose every digest and signature holds around any bytes; its manifest."""
    bundled = encrypted(make_gzip(archive))
    return store_bundle(directory, name, bundled, size=size, tar_digest=sha1_hex(archive))
