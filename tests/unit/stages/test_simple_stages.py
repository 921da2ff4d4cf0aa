"""Stages without a format of their own: split and join, tap, read ahead, AES."""

import threading
from collections.abc import Iterator
from hashlib import sha1

import pytest

from bundler.errors import InputError, VerificationError
from bundler.model.bundle import BundleKey
from bundler.stages.aes import decrypt, encrypt
from bundler.stages.read_ahead import read_ahead
from bundler.stages.split import join, split
from bundler.stages.tap import Tap, sha1_digest
from tests.support.images import chunked, random_bytes
from tests.support.tools import use_tool

SECRET = BundleKey(key=bytes(range(16)), iv=bytes(range(16, 32)))
OPENSSL = ("openssl", "enc", "-aes-128-cbc", "-K", SECRET.key.hex(), "-iv", SECRET.iv.hex())

N = 10
SIZES = [
    (0, []),
    (1, [1]),
    (N - 1, [N - 1]),
    (N, [N]),
    (N + 1, [N, 1]),
    (2 * N - 1, [N, N - 1]),
    (2 * N, [N, N]),
    (2 * N + 1, [N, N, 1]),
]


@pytest.mark.parametrize(("size", "expected"), SIZES)
@pytest.mark.parametrize("largest", [1, 3, N, 100])
def test_split_makes_full_parts_and_never_an_empty_one(
    size: int, expected: list[int], largest: int
) -> None:
    data = random_bytes(size, seed=size)
    for seed in range(5):
        parts = list(split(chunked(data, seed, largest), N))
        assert [len(part) for part in parts] == expected
        assert b"".join(parts) == data


@pytest.mark.parametrize("seed", range(10))
def test_join_undoes_split(seed: int) -> None:
    data = random_bytes(100_000, seed)
    parts = [chunked(part, seed) for part in split(chunked(data, seed), 7000)]
    assert b"".join(join(parts)) == data


def test_split_gives_a_part_as_soon_as_it_is_full() -> None:
    asked: list[int] = []

    def source() -> Iterator[bytes]:
        for index in range(10):
            asked.append(index)
            yield bytes(N // 2)

    parts = split(source(), N)
    assert next(parts) == bytes(N)
    assert asked == [0, 1]


@pytest.mark.parametrize("seed", range(5))
def test_tap_changes_nothing_and_counts_everything(seed: int) -> None:
    data = random_bytes(50_000, seed)
    tap = Tap()
    chunks = list(chunked(data, seed))
    assert list(tap(chunks)) == chunks
    assert tap.size == len(data)
    assert tap.digest.value == sha1(data, usedforsecurity=False).digest()
    assert tap.digest == sha1_digest(data)


def test_tap_of_nothing() -> None:
    tap = Tap()
    assert list(tap([])) == []
    assert (tap.size, tap.digest.hexdigest) == (0, "da39a3ee5e6b4b0d3255bfef95601890afd80709")


def test_tap_goes_on_where_it_stopped() -> None:
    tap = Tap()
    assert b"".join([*tap([b"one"]), *tap([b"two"])]) == b"onetwo"
    assert tap.digest == sha1_digest(b"onetwo")


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("count", [0, 1, 2, 5, 1000])
def test_read_ahead_keeps_the_order(count: int, depth: int) -> None:
    chunks = [str(index).encode() for index in range(count)]
    assert list(read_ahead(chunks, depth)) == chunks


@pytest.mark.parametrize("good", [0, 1, 4, 20])
def test_read_ahead_passes_an_error_on_behind_what_was_good(good: int) -> None:
    def source() -> Iterator[bytes]:
        for _ in range(good):
            yield b"good"
        raise InputError("the source broke")

    seen: list[bytes] = []
    with pytest.raises(InputError, match="the source broke"):
        seen.extend(read_ahead(source()))
    chunks = read_ahead(source())
    assert [next(chunks) for _ in range(good)] == [b"good"] * good
    with pytest.raises(InputError, match="the source broke"):
        next(chunks)


def test_read_ahead_passes_on_what_is_no_error_of_ours() -> None:
    def source() -> Iterator[bytes]:
        yield b"good"
        raise KeyboardInterrupt

    chunks = read_ahead(source())
    assert next(chunks) == b"good"
    with pytest.raises(KeyboardInterrupt):
        next(chunks)


def read_ahead_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "read-ahead"]


@pytest.mark.parametrize("taken", [1, 2, 50])
def test_closing_read_ahead_stops_its_thread(taken: int) -> None:
    def source() -> Iterator[bytes]:
        while True:
            yield b"endless"

    chunks = read_ahead(source())
    assert [next(chunks) for _ in range(taken)] == [b"endless"] * taken
    assert len(read_ahead_threads()) == 1
    del chunks
    assert read_ahead_threads() == []


def test_read_ahead_reads_no_further_than_its_depth() -> None:
    asked: list[int] = []
    reached = threading.Event()

    def source() -> Iterator[bytes]:
        for index in range(1000):
            asked.append(index)
            if index == 3:
                reached.set()
            yield b"chunk"

    chunks = read_ahead(source(), 2)
    assert next(chunks) == b"chunk"
    assert reached.wait(10)
    # One taken, two in the queue, one in the hand of the thread, and one begun at most.
    assert len(asked) <= 5
    del chunks
    assert len(asked) <= 8


def test_read_ahead_begins_nothing_before_it_is_asked() -> None:
    def source() -> Iterator[bytes]:
        raise AssertionError("was asked")
        yield b""

    chunks = read_ahead(source())
    assert read_ahead_threads() == []
    del chunks


AES_SIZES = [0, 1, 15, 16, 17, 31, 32, 33, 4096, 100_001]


@pytest.mark.parametrize("size", AES_SIZES)
@pytest.mark.parametrize("seed", range(3))
def test_decrypt_undoes_encrypt(size: int, seed: int) -> None:
    data = random_bytes(size, seed)
    bundled = b"".join(encrypt(chunked(data, seed), SECRET))
    assert len(bundled) == (size // 16 + 1) * 16
    assert b"".join(decrypt(chunked(bundled, seed + 1), SECRET)) == data


@pytest.mark.parametrize("size", AES_SIZES)
def test_openssl_decrypts_what_we_encrypt_and_the_other_way_round(size: int) -> None:
    data = random_bytes(size, seed=size)
    ours = b"".join(encrypt([data], SECRET))
    theirs = use_tool(*OPENSSL, "-e", data=data)
    assert ours == theirs
    assert use_tool(*OPENSSL, "-d", data=ours) == data


@pytest.mark.parametrize("size", [0, 1, 15, 17, 31, 33, 100_001])
def test_decrypt_refuses_what_is_no_whole_number_of_blocks(size: int) -> None:
    for seed in range(4):
        with pytest.raises(
            VerificationError, match=f"{size} bytes are not a whole number of AES blocks"
        ):
            list(decrypt(chunked(random_bytes(size, seed), seed), SECRET))


@pytest.mark.parametrize(
    "last_block",
    [
        bytes(16),
        bytes(15) + b"\x11",
        bytes(15) + b"\xff",
        b"\x10" * 15 + b"\x0f",
        b"\x0f" + b"\x10" * 15,
        bytes(14) + b"\x01\x02",
        bytes(13) + b"\x03\x02\x03",
    ],
)
def test_decrypt_refuses_bad_padding(last_block: bytes) -> None:
    text = random_bytes(32, seed=1) + last_block
    bundled = use_tool(*OPENSSL, "-e", "-nopad", data=text)
    for seed in range(4):
        with pytest.raises(VerificationError, match="the padding does not hold"):
            list(decrypt(chunked(bundled, seed), SECRET))


@pytest.mark.parametrize("padding", range(1, 17))
def test_decrypt_takes_every_padding(padding: int) -> None:
    text = b"\x01" * (48 - padding) + bytes([padding]) * padding
    bundled = use_tool(*OPENSSL, "-e", "-nopad", data=text)
    assert b"".join(decrypt([bundled], SECRET)) == b"\x01" * (48 - padding)


def test_a_wrong_key_never_gives_the_text() -> None:
    data = random_bytes(10_000, seed=2)
    bundled = b"".join(encrypt([data], SECRET))
    refused = 0
    for number in range(64):
        other = BundleKey(key=bytes([number]) * 16, iv=SECRET.iv)
        try:
            assert b"".join(decrypt([bundled], other))[:16] != data[:16]
        except VerificationError:
            refused += 1
    assert refused > 56  # the padding holds by chance in one of 256
