"""Heads and bodies of HTTP/1.1 messages, read from a stream without judging them."""

import asyncio
from dataclasses import dataclass
from typing import Self

PIECE_SIZE = 256 * 1024
"""Most bytes of a body that are held at once."""

HOP_BY_HOP = frozenset(("connection", "keep-alive", "proxy-connection"))
"""Headers about a connection, which is not the next one's."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The first line, and the headers as they came."""

    line: str
    fields: tuple[tuple[str, str], ...]

    @property
    def headers(self) -> dict[str, str]:
        """Headers by name in lower case; a repeated one is a list with commas."""
        headers: dict[str, str] = {}
        for name, text in self.fields:
            known = headers.get(name.lower())
            headers[name.lower()] = text if known is None else f"{known},{text}"
        return headers

    @property
    def status(self) -> int:
        """The status of a response."""
        return int(self.line.split(" ")[1])

    @property
    def expects_continue(self) -> bool:
        """Whether the client may hold its body back until it is told to go on."""
        return self.headers.get("expect", "").lower() == "100-continue"

    def encode(self, *, keep_alive: bool) -> bytes:
        """The head for another connection, which lasts or not."""
        fields = [field for field in self.fields if field[0].lower() not in HOP_BY_HOP]
        fields.append(("Connection", "keep-alive" if keep_alive else "close"))
        lines = [self.line, *(f"{name}: {text}" for name, text in fields), "", ""]
        return "\r\n".join(lines).encode("latin-1")


async def read_head(reader: asyncio.StreamReader) -> Head:
    """Read up to the empty line.

    Raises:
        asyncio.IncompleteReadError: the stream ends before.
    """
    text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *lines = text.rstrip("\r\n").split("\r\n")
    pairs = (field.partition(":") for field in lines)
    return Head(line=line, fields=tuple((name, text.strip()) for name, _, text in pairs))


class BodyReader:
    """A body, freed of the framing of chunks.  Its inverse is frame() and end()."""

    def __init__(self, reader: asyncio.StreamReader, *, length: int | None, chunked: bool) -> None:
        self._reader = reader
        self._left = 0 if chunked else length
        self._more_chunks = chunked
        self._trailer = b""
        self.chunked = chunked
        self.position = 0
        """Bytes that were read."""

    @classmethod
    def of_request(cls, reader: asyncio.StreamReader, head: Head) -> Self:
        """The body of a request; without a length it has none."""
        headers = head.headers
        chunked = "chunked" in headers.get("transfer-encoding", "").lower()
        return cls(reader, length=int(headers.get("content-length", "0")), chunked=chunked)

    @classmethod
    def of_response(cls, reader: asyncio.StreamReader, head: Head, method: str) -> Self:
        """The body of a response; without a length it lasts until the stream ends."""
        headers = head.headers
        if method == "HEAD" or head.status in (204, 304):
            return cls(reader, length=0, chunked=False)
        chunked = "chunked" in headers.get("transfer-encoding", "").lower()
        length = headers.get("content-length")
        return cls(reader, length=None if length is None else int(length), chunked=chunked)

    @property
    def is_bounded(self) -> bool:
        """Whether the end of the body can be seen without the end of the stream."""
        return self.chunked or self._left is not None

    async def read(self, size: int = PIECE_SIZE) -> bytes:
        """The next 1 to `size` bytes; empty at the end.

        Raises:
            asyncio.IncompleteReadError: the stream ends before the body.
        """
        if self._left == 0 and self._more_chunks:
            await self._begin_chunk()
        if self._left is None:
            piece = await self._reader.read(size)
        elif self._left == 0:
            return b""
        else:
            piece = await self._reader.read(min(size, self._left))
            if not piece:
                raise asyncio.IncompleteReadError(piece, self._left)
            self._left -= len(piece)
            if self._left == 0 and self._more_chunks:
                await self._reader.readexactly(2)
        self.position += len(piece)
        return piece

    async def discard(self) -> None:
        """Read to the end."""
        while await self.read():
            pass

    async def _begin_chunk(self) -> None:
        line = await self._reader.readuntil(b"\r\n")
        self._left = int(line.partition(b";")[0], 16)
        if self._left == 0:
            self._more_chunks = False
            while line != b"\r\n":
                line = await self._reader.readuntil(b"\r\n")
                self._trailer += line

    def frame(self, piece: bytes) -> bytes:
        """A piece as the next connection wants it."""
        return b"%x\r\n%b\r\n" % (len(piece), piece) if self.chunked else piece

    def end(self) -> bytes:
        """What follows the last piece, once that was read: the trailers too."""
        return b"0\r\n" + self._trailer if self.chunked else b""
