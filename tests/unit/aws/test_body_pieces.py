"""A request's body on its way: what is read, counted, and taken back."""

import io
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import BinaryIO

import pytest

from bundler.aws.body import SEND_SIZE, UploadBody
from bundler.errors import HostError

DATA = bytes(range(256)) * (2 * SEND_SIZE // 256) + b"end"


class BrokenDisk(io.RawIOBase):
    def seek(self, offset: int, whence: int = 0, /) -> int:
        return offset

    def read(self, size: int = -1, /) -> bytes:
        raise OSError("input/output error")


def make_body(
    source: BinaryIO | io.RawIOBase, counted: list[int], stopped: threading.Event | None = None
) -> UploadBody:
    return UploadBody(
        source,  # type: ignore[arg-type]  # all that is used of a file
        "put s3://bucket/key",
        stopped=stopped or threading.Event(),
        take=lambda size: None,
        advance=counted.append,
    )


@pytest.fixture(params=["in memory", "on disk"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BinaryIO]:
    if request.param == "in memory":
        yield io.BytesIO(DATA)
        return
    path = tmp_path / "part"
    path.write_bytes(DATA)
    with path.open("rb") as file:
        yield file


@pytest.mark.parametrize("size", [1, 16384, SEND_SIZE, len(DATA), len(DATA) + 1, -1, None])
def test_a_body_that_is_sent_is_whole_and_counted(source: BinaryIO, size: int | None) -> None:
    counted: list[int] = []
    body = make_body(source, counted)
    body.is_sending = True
    pieces = [bytes(piece) for piece in iter(lambda: body.read(size), b"")]
    assert b"".join(pieces) == DATA
    assert sum(counted) == len(DATA)
    assert body.tell() == len(DATA)


@pytest.mark.parametrize("size", [1, 16384])
def test_pieces_that_are_sent_are_large_however_small_they_are_asked_for(
    source: BinaryIO, size: int
) -> None:
    body = make_body(source, [])
    body.is_sending = True
    assert [len(body.read(size)) for _ in range(4)] == [SEND_SIZE, SEND_SIZE, 3, 0]


def test_a_body_that_is_signed_does_not_count(source: BinaryIO) -> None:
    counted: list[int] = []
    body = make_body(source, counted)
    assert len(body.read(100)) == 100
    assert body.read() == DATA[100:]
    assert counted == []


def test_a_body_that_is_sent_again_is_taken_back(source: BinaryIO) -> None:
    counted: list[int] = []
    body = make_body(source, counted)
    body.is_sending = True
    body.read(SEND_SIZE)
    assert body.seek(0) == 0
    assert counted == [SEND_SIZE, -SEND_SIZE]
    assert body.read(5) == DATA[:SEND_SIZE]


def test_bytes_in_memory_are_not_copied() -> None:
    body = make_body(io.BytesIO(DATA), [])
    piece = body.read(SEND_SIZE)
    assert isinstance(piece, memoryview)
    assert piece.obj is DATA


def test_a_body_that_is_closed_while_it_is_read_leaves_the_piece_whole() -> None:
    source = io.BytesIO(DATA)
    piece = make_body(source, []).read(10)
    source.close()
    assert piece == DATA[:10]


def test_a_body_that_cannot_be_read_is_this_machines_failure() -> None:
    body = make_body(BrokenDisk(), [])
    with pytest.raises(HostError, match=r"^put s3://bucket/key: cannot read what is to be sent"):
        body.read(1)


def test_a_body_ends_when_the_upload_is_given_up(source: BinaryIO) -> None:
    stopped = threading.Event()
    body = make_body(source, [], stopped)
    body.read(1)
    stopped.set()
    with pytest.raises(CancelledError):
        body.read(1)
