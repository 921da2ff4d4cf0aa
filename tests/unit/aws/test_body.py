"""A body on its way: read to be signed, then to be sent."""

import io
import threading
from concurrent.futures import CancelledError

import pytest

from bundler.aws.body import SEND_SIZE, UploadBody
from bundler.errors import HostError

CONTENT = bytes(range(256)) * (SEND_SIZE // 256 * 3)


class Told:
    """A body, and what it has told."""

    def __init__(self, content: bytes = CONTENT) -> None:
        self.taken: list[int] = []
        self.progress = 0
        self.stopped = threading.Event()
        self.body = UploadBody(
            io.BytesIO(content),
            "put s3://b/k",
            stopped=self.stopped,
            take=self.taken.append,
            advance=self.advance,
        )

    def advance(self, size: int) -> None:
        self.progress += size


def test_what_is_signed_does_not_count() -> None:
    told = Told()
    assert told.body.read(1000) == CONTENT[:1000]
    assert told.body.read() == CONTENT[1000:]
    assert told.body.read() == b""
    assert (told.taken, told.progress) == ([], 0)


def test_what_is_sent_counts_and_goes_in_large_pieces() -> None:
    told = Told()
    told.body.is_sending = True
    assert told.body.read(16_384) == CONTENT[:SEND_SIZE]
    assert told.body.tell() == SEND_SIZE
    assert told.body.read(SEND_SIZE + 1) == CONTENT[SEND_SIZE : 2 * SEND_SIZE + 1]
    assert told.body.read(None) == CONTENT[2 * SEND_SIZE + 1 :]
    assert sum(told.taken) == told.progress == len(CONTENT)


def test_what_must_be_sent_again_is_taken_back() -> None:
    told = Told()
    told.body.is_sending = True
    told.body.read(1)
    assert told.body.seek(0) == 0
    assert told.progress == 0
    told.body.read()
    told.body.take_back()
    told.body.take_back()
    assert told.progress == 0


def test_reading_ends_when_the_work_is_given_up() -> None:
    told = Told()
    told.stopped.set()
    with pytest.raises(CancelledError):
        told.body.read(1)


def test_it_begins_at_the_start() -> None:
    file = io.BytesIO(CONTENT)
    file.seek(100)
    ignore = list[int]().append
    body = UploadBody(file, "put", stopped=threading.Event(), take=ignore, advance=ignore)
    assert body.read(5) == CONTENT[:5]


def test_a_file_that_cannot_be_read() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(5, "Input/output error")

    ignore = list[int]().append
    body = UploadBody(
        Broken(), "put s3://b/k", stopped=threading.Event(), take=ignore, advance=ignore
    )
    with pytest.raises(HostError, match="put s3://b/k: cannot read what is to be sent"):
        body.read(1)
