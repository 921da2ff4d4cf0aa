"""Gzip: one member made by many threads, and members of all makers read."""

import gzip
import random
import struct
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice

import pytest
from isal import isal_zlib

from bundler.errors import VerificationError
from bundler.model.bundle import CompressionLevel
from bundler.stages.gzip import BLOCK_SIZE, HEADER, compress, decompress
from tests.support.images import MIB, chunked, random_bytes, text_bytes
from tests.support.tools import use_tool

LEVELS = tuple(CompressionLevel)
MARK = b"\x00\x00\xff\xff"
"""What a sync flush ends in, and what data may have by chance."""


def compress_bytes(
    data: bytes,
    level: CompressionLevel = CompressionLevel.FAST,
    *,
    workers: int = 2,
    seed: int | None = None,
) -> bytes:
    chunks = [data] if seed is None else chunked(data, seed)
    return b"".join(compress(chunks, level, workers=workers))


def decompress_bytes(stream: bytes, *, workers: int = 2, seed: int | None = None) -> bytes:
    chunks = [stream] if seed is None else chunked(stream, seed)
    return b"".join(bytes(chunk) for chunk in decompress(chunks, workers=workers))


@cache
def mixed() -> bytes:
    """Text, noise and zeros: five blocks and a piece."""
    return b"".join(
        (
            text_bytes(MIB + 300_000, seed=1),
            random_bytes(MIB, seed=1),
            bytes(2 * MIB),
            text_bytes(700_000, seed=2),
        )
    )


CONTENTS: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "one byte": lambda: b"x",
    "a block less one byte": lambda: text_bytes(BLOCK_SIZE - 1, seed=3),
    "a block": lambda: text_bytes(BLOCK_SIZE, seed=3),
    "a block and a byte": lambda: text_bytes(BLOCK_SIZE + 1, seed=3),
    "two blocks": lambda: random_bytes(2 * BLOCK_SIZE, seed=3),
    "zeros": lambda: bytes(5 * MIB + 3),
    "zeros less than a block": lambda: bytes(BLOCK_SIZE - 1),
    "mixed": mixed,
    "marks": lambda: MARK * 300_000,
    "noise with marks": lambda: b"".join(
        random_bytes(random.Random(index).randint(0, 3000), index) + MARK for index in range(800)
    ),
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", CONTENTS)
def test_what_is_compressed_is_decompressed(name: str, level: CompressionLevel) -> None:
    data = CONTENTS[name]()
    stream = compress_bytes(data, level)
    member = zlib.decompressobj(31)
    assert member.decompress(stream) == data
    assert member.eof
    assert member.unused_data == b""
    assert stream[:10] == HEADER
    for workers in (1, 2):
        assert decompress_bytes(stream, workers=workers) == data
    assert decompress_bytes(stream, seed=len(data)) == data


@pytest.mark.parametrize("level", LEVELS)
def test_output_depends_on_neither_chunks_nor_workers(level: CompressionLevel) -> None:
    data = mixed()
    stream = compress_bytes(data, level)
    for seed in range(3):
        assert compress_bytes(data, level, workers=seed + 1, seed=seed) == stream


@pytest.mark.parametrize("seed", range(20))
def test_round_trip_over_random_chunks(seed: int) -> None:
    source = random.Random(seed)
    data = b"".join(
        source.choice((text_bytes, random_bytes))(source.randint(0, 400_000), seed)
        for _ in range(source.randint(0, 8))
    )
    stream = compress_bytes(data, LEVELS[seed % 2], seed=seed)
    assert decompress_bytes(stream, workers=seed % 4 + 1, seed=seed + 1) == data


@pytest.mark.parametrize("level", LEVELS)
def test_gunzip_takes_it(level: CompressionLevel) -> None:
    stream = compress_bytes(mixed(), level)
    use_tool("gunzip", "-t", data=stream)
    assert use_tool("gunzip", "-c", data=stream) == mixed()
    assert use_tool("pigz", "-dc", data=stream) == mixed()


def raw_deflate(pieces: list[bytes], mode: int, *, level: int = 6) -> bytes:
    """One deflate stream, flushed behind each piece but the last."""
    stream = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return (
        b"".join(stream.compress(piece) + stream.flush(mode) for piece in pieces) + stream.flush()
    )


def stored(data: bytes, size: int = 65535) -> bytes:
    """A deflate stream of stored blocks, the data as they are."""
    blocks = [data[start : start + size] for start in range(0, len(data), size)]
    return b"".join(
        struct.pack("<BHH", index == len(blocks) - 1, len(block), len(block) ^ 0xFFFF) + block
        for index, block in enumerate(blocks)
    )


def member(deflated: bytes, data: bytes, *, header: bytes = HEADER) -> bytes:
    trailer = struct.pack("<II", zlib.crc32(data), len(data) % 2**32)
    return header + deflated + trailer


def header_with(flags: int, extra: bytes) -> bytes:
    return bytes([0x1F, 0x8B, 8, flags]) + b"\x78\x56\x34\x12\x02\x03" + extra


HEADERS = {
    "a time": header_with(0, b""),
    "text flag": header_with(1, b""),
    "a CRC": header_with(2, b"\x12\x34"),
    "extra": header_with(4, b"\x05\x00extra"),
    "empty extra": header_with(4, b"\x00\x00"),
    "longest extra": header_with(4, b"\xff\xff" + b"\0" * 65535),
    "a name": header_with(8, b"image.tar\0"),
    "an empty name": header_with(8, b"\0"),
    "a long name": header_with(8, b"n" * 60_000 + b"\0"),
    "a comment": header_with(16, b"a comment\0"),
    "all of it": header_with(31, b"\x03\x00abcname\0comment\0\x12\x34"),
    "extra that looks like an end": header_with(12, b"\x02\x00\0\0name\0"),
}


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("seed", [None, 0, 1, 2, 3])
def test_headers_of_all_kinds(name: str, seed: int | None) -> None:
    data = text_bytes(5000, seed=4)
    stream = member(raw_deflate([data], zlib.Z_SYNC_FLUSH), data, header=HEADERS[name])
    assert gzip.decompress(stream) == data
    assert decompress_bytes(stream, seed=seed) == data


def pieces_of(data: bytes, seed: int, largest: int) -> list[bytes]:
    source = random.Random(seed)
    pieces = []
    while data:
        size = source.randint(1, largest)
        pieces.append(data[:size])
        data = data[size:]
    return pieces


def with_dictionary(pieces: list[bytes]) -> bytes:
    """Blocks deflated apart, each with the end of the one before as its dictionary, as pigz."""
    result, before = b"", b""
    for piece in pieces:
        if before:
            stream = zlib.compressobj(6, zlib.DEFLATED, -15, zdict=before[-32768:])
        else:
            stream = zlib.compressobj(6, zlib.DEFLATED, -15)
        result += stream.compress(piece) + stream.flush(zlib.Z_SYNC_FLUSH)
        before = piece
    return result + b"\x03\x00"


MAKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip module": lambda data: gzip.compress(data, 6, mtime=1_700_000_000),
    "gzip -1": lambda data: use_tool("gzip", "-1", "-c", data=data),
    "gzip -9": lambda data: use_tool("gzip", "-9", "-c", data=data),
    "pigz": lambda data: use_tool("pigz", "-p", "3", "-b", "128", "-c", data=data),
    "pigz -i": lambda data: use_tool("pigz", "-i", "-p", "3", "-b", "128", "-c", data=data),
    "pigz -0": lambda data: use_tool("pigz", "-0", "-p", "3", "-b", "128", "-c", data=data),
    "pigz --rsyncable": lambda data: use_tool("pigz", "--rsyncable", "-c", data=data),
    "one block": lambda data: member(raw_deflate([data], zlib.Z_FULL_FLUSH), data),
    "full flushes": lambda data: member(
        raw_deflate(pieces_of(data, 5, 200_000), zlib.Z_FULL_FLUSH), data
    ),
    "sync flushes": lambda data: member(
        raw_deflate(pieces_of(data, 6, 200_000), zlib.Z_SYNC_FLUSH), data
    ),
    "many full flushes": lambda data: member(
        raw_deflate(pieces_of(data, 7, 3000), zlib.Z_FULL_FLUSH), data
    ),
    "many sync flushes": lambda data: member(
        raw_deflate(pieces_of(data, 8, 3000), zlib.Z_SYNC_FLUSH), data
    ),
    "full flushes of huge blocks": lambda data: member(
        raw_deflate([data, data, data], zlib.Z_FULL_FLUSH), data * 3
    ),
    "dictionaries": lambda data: member(with_dictionary(pieces_of(data, 9, 200_000)), data),
    "stored": lambda data: member(stored(data), data),
    "small stored blocks": lambda data: member(stored(data, 1000), data),
    "level 0 with flushes": lambda data: member(
        raw_deflate(pieces_of(data, 10, 100_000), zlib.Z_FULL_FLUSH, level=0), data
    ),
    "empty blocks between": lambda data: member(
        (b"\0" + MARK) * 50_000 + raw_deflate([data], zlib.Z_SYNC_FLUSH), data
    ),
    "isal": lambda data: isal_zlib.compress(data, 3, 31),
}


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("name", ["mixed", "marks", "noise with marks", "one byte", "zeros"])
def test_streams_of_other_makers(maker: str, name: str) -> None:
    stream = MAKERS[maker](CONTENTS[name]())
    data = gzip.decompress(stream)
    for workers in (1, 2):
        assert decompress_bytes(stream, workers=workers) == data
    assert decompress_bytes(stream, seed=1) == data


def test_marks_in_stored_blocks_that_end_where_blocks_end() -> None:
    """Every false mark here looks like the end of a block to whoever searches for it."""
    inner = compress_bytes(random_bytes(3 * MIB, seed=11))
    data = inner + b"\0" + MARK + b"\x01\x00" + MARK * 3 + inner[10:]
    for level in LEVELS:
        stream = compress_bytes(data, level)
        assert decompress_bytes(stream, seed=2) == data
    for size in (5, 9, 1000, 65535):
        assert (
            decompress_bytes(member(stored(data[:400_000], size), data[:400_000])) == data[:400_000]
        )


def cut_into(stream: bytes, cuts: list[int]) -> list[bytes]:
    return [stream[start:end] for start, end in zip([0, *cuts], [*cuts, None], strict=True)]


def generated(chunks: list[bytes]) -> Iterator[bytes]:
    yield from chunks


@pytest.mark.parametrize("maker", ["gzip module", "pigz", "pigz -i", "full flushes"])
@pytest.mark.parametrize("behind", range(1, 12))
def test_the_trailer_may_come_in_another_chunk(maker: str, behind: int) -> None:
    """The source is a generator, as in the pipeline: one that could be closed too early."""
    stream = MAKERS[maker](mixed())
    end = len(stream) - behind
    for cuts in ([end], [100_000, end], [*range(10_000, end, 10_000), end]):
        chunks = decompress(generated(cut_into(stream, cuts)), workers=2)
        assert b"".join(bytes(chunk) for chunk in chunks) == mixed()


@pytest.mark.parametrize("maker", ["gzip module", "pigz", "pigz -i", "full flushes"])
def test_bytes_behind_the_end_in_another_chunk(maker: str) -> None:
    stream = MAKERS[maker](mixed())
    cuts = list(range(10_000, len(stream), 10_000))
    for more in (b"\0", b"x" * 100, stream):
        chunks = [*cut_into(stream, cuts), more]
        with pytest.raises(VerificationError, match="more bytes behind it"):
            list(decompress(generated(chunks), workers=2))


SMALL = text_bytes(2000, seed=12)


@cache
def small_streams() -> dict[str, bytes]:
    return {
        "ours": compress_bytes(SMALL),
        "ours, balanced": compress_bytes(SMALL, CompressionLevel.BALANCED),
        "flushed": member(raw_deflate(pieces_of(SMALL, 13, 300), zlib.Z_FULL_FLUSH), SMALL),
        "with a header": member(
            raw_deflate([SMALL], zlib.Z_SYNC_FLUSH), SMALL, header=HEADERS["all of it"]
        ),
    }


@pytest.mark.parametrize("name", ["ours", "ours, balanced", "flushed", "with a header"])
def test_a_stream_cut_anywhere(name: str) -> None:
    stream = small_streams()[name]
    for length in range(len(stream)):
        with pytest.raises(VerificationError, match=r"^gunzip: "):
            decompress_bytes(stream[:length], seed=length % 3)


@pytest.mark.parametrize("name", ["ours", "ours, balanced", "flushed", "with a header"])
def test_a_bit_flipped_anywhere(name: str) -> None:
    """Damage is found, but in bits that say nothing: the time, the maker, padding of bytes."""
    stream = small_streams()[name]
    header_size = len(HEADERS["all of it"]) if name == "with a header" else len(HEADER)
    unnoticed = 0
    for position in range(len(stream)):
        for bit in range(8) if position < 50 else (position % 8,):
            damaged = bytearray(stream)
            damaged[position] ^= 1 << bit
            try:
                unharmed = decompress_bytes(bytes(damaged), workers=1)
            except VerificationError:
                continue
            assert unharmed == SMALL
            unnoticed += position >= header_size
    assert unnoticed <= 8 * (stream.count(MARK) + 2)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("seed", range(10))
def test_a_bit_flipped_in_a_big_stream(level: CompressionLevel, seed: int) -> None:
    damaged = bytearray(big_stream(level))
    position = random.Random(seed).randrange(len(HEADER), len(damaged))
    damaged[position] ^= 1 << seed % 8
    with pytest.raises(VerificationError, match=r"^gunzip: "):
        decompress_bytes(bytes(damaged), seed=seed)


@cache
def big_stream(level: CompressionLevel) -> bytes:
    return compress_bytes(mixed(), level)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda stream: b"", "expected a gzip header"),
        (lambda stream: b"\x1f", "expected a gzip header"),
        (lambda stream: b"PK" + stream[2:], "expected a gzip header"),
        (lambda stream: stream[:2] + b"\x07" + stream[3:], "expected a gzip header"),
        (lambda stream: stream[:3] + b"\x20" + stream[4:], "unknown flags"),
        (lambda stream: stream[:3] + b"\x08" + b"n" * 300_000, "expected a gzip header"),
        (lambda stream: stream + b"\0", "more bytes behind it"),
        (lambda stream: stream + bytes(MIB), "more bytes behind it"),
        (lambda stream: stream + stream, "more bytes behind it"),
        (lambda stream: stream[:-1], "cut short"),
        (lambda stream: stream[:-8], "cut short"),
        (lambda stream: stream[:-9], "cut short"),
        (lambda stream: stream[:-8] + bytes(4) + stream[-4:], "the CRC-32 or the size"),
        (lambda stream: stream[:-4] + bytes(4), "the CRC-32 or the size"),
        (lambda stream: stream[:10] + b"\x07" + stream[11:], "damaged"),
    ],
)
@pytest.mark.parametrize("seed", [None, 1])
def test_damage(damage: Callable[[bytes], bytes], message: str, seed: int | None) -> None:
    with pytest.raises(VerificationError, match=message):
        decompress_bytes(damage(compress_bytes(mixed())), seed=seed)


@pytest.mark.parametrize("seed", range(20))
def test_noise_behind_a_header(seed: int) -> None:
    with pytest.raises(VerificationError, match=r"^gunzip: "):
        decompress_bytes(HEADER + random_bytes(100_000, seed))


def zero_bomb(flush: int) -> Iterator[bytes]:
    """Ten gigabytes of zeros in ten megabytes, not held at once."""
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    head = stream.compress(bytes(16 * MIB)) + stream.flush(flush)
    piece = stream.compress(bytes(16 * MIB)) + stream.flush(flush)
    yield HEADER + head
    for _ in range(640):
        yield piece


@pytest.mark.parametrize("flush", [zlib.Z_FULL_FLUSH, zlib.Z_SYNC_FLUSH])
@pytest.mark.parametrize("joined", [False, True])
def test_a_bomb_fills_no_memory(flush: int, joined: bool) -> None:
    source = [b"".join(zero_bomb(flush))] if joined else zero_bomb(flush)
    tracemalloc.start()
    try:
        chunks = decompress(source, workers=2)
        size = sum(len(chunk) for chunk in islice(chunks, 64))
        peak = tracemalloc.get_traced_memory()[1]
        del chunks
    finally:
        tracemalloc.stop()
    assert size >= 32 * MIB
    assert peak < 64 * MIB


@pytest.mark.parametrize("level", LEVELS)
def test_compress_stops_its_threads_when_closed(level: CompressionLevel) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield random_bytes(100_000, seed=1)

    stream = compress(endless(), level, workers=2)
    assert len(list(islice(stream, 4))) == 4
    del stream
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("deflate")]


def test_decompress_stops_its_threads_when_closed() -> None:
    chunks = decompress([compress_bytes(random_bytes(9 * MIB, seed=1))], workers=2)
    assert len(next(iter(chunks))) == MIB
    del chunks
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("inflate")]


def test_errors_of_the_source_pass_through() -> None:
    def broken(data: bytes) -> Iterator[bytes]:
        yield data
        raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        list(compress(broken(bytes(3 * MIB)), CompressionLevel.FAST, workers=2))
    stream = compress_bytes(mixed())
    with pytest.raises(KeyError, match="broken"):
        list(decompress(broken(stream[: len(stream) // 2]), workers=2))
