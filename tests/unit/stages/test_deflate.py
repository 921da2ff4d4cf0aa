"""Blocks deflated apart: each inflates alone, and joined they are one stream."""

import random
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bundler.model.bundle import CompressionLevel
from bundler.stages.deflate import FINAL_BLOCK, deflater, describe_deflater
from bundler.stages.gzip import BLOCK_SIZE
from bundler.stages.libdeflate import LibdeflateJoiner, load_joiner
from tests.support.images import random_bytes, text_bytes

MARK = b"\x00\x00\xff\xff"

BLOCKS: dict[str, Callable[[], bytes]] = {
    "one byte": lambda: b"x",
    "one zero": lambda: b"\0",
    "two bytes": lambda: b"xy",
    "zeros": lambda: bytes(BLOCK_SIZE),
    "zeros less one byte": lambda: bytes(BLOCK_SIZE - 1),
    "noise": lambda: random_bytes(BLOCK_SIZE, seed=1),
    "noise less one byte": lambda: random_bytes(BLOCK_SIZE - 1, seed=1),
    "a little noise": lambda: random_bytes(300, seed=1),
    "text": lambda: text_bytes(BLOCK_SIZE, seed=1),
    "text less one byte": lambda: text_bytes(BLOCK_SIZE - 1, seed=1),
    "half text, half noise": lambda: text_bytes(BLOCK_SIZE // 2, 1) + random_bytes(300_000, 1),
    "marks": lambda: MARK * 1000,
    "all bytes": lambda: bytes(range(256)) * 40,
}


def whole(level: CompressionLevel) -> Callable[[bytes], bytes]:
    """The level's deflater, its pieces put together."""
    deflate = deflater(level)
    return lambda block: b"".join(deflate(block))


DEFLATERS = {level.value: whole(level) for level in CompressionLevel}


def joiner(level: int) -> LibdeflateJoiner:
    loaded = load_joiner(level)
    if loaded is None:
        pytest.skip("no zlib with a C interface")
    return loaded


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("level", DEFLATERS)
def test_a_block_inflates_alone_and_ends_in_the_mark(name: str, level: str) -> None:
    block = BLOCKS[name]()
    deflated = DEFLATERS[level](block)
    assert deflated.endswith(MARK)
    stream = zlib.decompressobj(-15)
    assert stream.decompress(deflated + FINAL_BLOCK) == block
    assert stream.eof
    assert stream.unused_data == b""


@pytest.mark.parametrize("level", DEFLATERS)
def test_blocks_joined_are_one_stream(level: str) -> None:
    blocks = [make() for make in BLOCKS.values()]
    random.Random(1).shuffle(blocks)
    joined = b"".join(DEFLATERS[level](block) for block in blocks) + FINAL_BLOCK
    stream = zlib.decompressobj(-15)
    assert stream.decompress(joined) == b"".join(blocks)
    assert stream.eof


@pytest.mark.parametrize("level", range(1, 13))
def test_libdeflate_at_every_level(level: int) -> None:
    deflate = joiner(level).deflate
    for size in (1, 2, 7, 100, 3000, 70_000):
        for block in (random_bytes(size, level), text_bytes(size, level), bytes(size)):
            deflated = bytes(deflate(block))
            assert deflated.endswith(MARK)
            assert zlib.decompress(deflated + FINAL_BLOCK, -15) == block


@pytest.mark.parametrize("seed", range(200))
def test_libdeflate_ends_at_every_bit(seed: int) -> None:
    """The last block's end falls on each of the eight bits of a byte."""
    source = random.Random(seed)
    block = bytes(source.choices(b"abcdefgh", k=source.randint(1, 500)))
    deflated = bytes(joiner(5).deflate(block))
    assert deflated.endswith(MARK)
    assert zlib.decompress(deflated + FINAL_BLOCK, -15) == block


def test_libdeflate_in_many_threads() -> None:
    deflate = joiner(5).deflate
    blocks = [text_bytes(20_000 + index, index) for index in range(60)]
    with ThreadPoolExecutor(8) as pool:
        deflated = [bytes(block) for block in pool.map(deflate, blocks)]
    assert deflated == [bytes(deflate(block)) for block in blocks]


def test_levels_are_in_order() -> None:
    sources = sorted(Path(__file__).parent.glob("*.py"))
    text = b"".join(path.read_bytes() for path in sources)
    fast, balanced, small = (len(DEFLATERS[level](text)) for level in DEFLATERS)
    assert fast > balanced > small


@pytest.mark.parametrize("level", CompressionLevel)
def test_a_deflater_is_described(level: CompressionLevel) -> None:
    assert describe_deflater(level)
