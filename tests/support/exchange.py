"""One request and its response between a client and a server, with what goes wrong meanwhile."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.support.faults import Fault, FaultKind, Reply, Request
from tests.support.http_message import CONTINUE, PIECE_SIZE, BodyReader, Head, read_head

PIECES_PER_SECOND = 20
"""Least smoothness of a slow body."""

REQUEST_CUTS = frozenset((FaultKind.RESET_REQUEST, FaultKind.CLOSE_REQUEST))
RESPONSE_CUTS = frozenset((FaultKind.RESET_RESPONSE, FaultKind.CLOSE_RESPONSE))


class ResetError(Exception):
    """The client is to see a reset."""


class CloseError(Exception):
    """The client is to see the end of the stream."""


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection so that the other side sees a reset."""
    connection: socket.socket | None = writer.get_extra_info("socket")
    if connection is not None and not writer.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def send(writer: asyncio.StreamWriter, piece: bytes) -> None:
    """Write, and wait until the kernel has it all (if the writer has no buffer)."""
    writer.write(piece)
    await writer.drain()


@dataclass(slots=True, kw_only=True)
class Exchange:
    """A request whose head was read, and the client's connection."""

    request: Request
    head: Head
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    body: BodyReader
    fault: Fault | None = None
    is_told_to_go_on: bool = False

    @property
    def wants_keep_alive(self) -> bool:
        """Whether the client means to send more requests."""
        return "close" not in self.request.headers.get("connection", "").lower()

    async def tell_to_go_on(self) -> None:
        """Let a client that waits with its body send it."""
        if self.head.expects_continue and not self.is_told_to_go_on:
            self.is_told_to_go_on = True
            await send(self.writer, CONTINUE)

    async def answer(self, reply: Reply) -> bool:
        """Reply in the server's stead; whether the connection lasts."""
        await self.tell_to_go_on()
        await self.body.discard()
        length = len(reply.body) if reply.length is None else reply.length
        keep_alive = self.wants_keep_alive and length <= len(reply.body)
        head = Head(
            line=f"HTTP/1.1 {reply.status}",
            fields=(("Content-Length", str(length)), *reply.headers),
        )
        body = b"" if self.request.method == "HEAD" else reply.body
        await send(self.writer, head.encode(keep_alive=keep_alive) + body)
        return keep_alive

    async def forward(self, address: tuple[str, int]) -> bool:
        """Ask the server; whether the connection to the client lasts.

        Raises:
            ResetError, CloseError: the fault says so, or the server fails.
        """
        try:
            reader, writer = await asyncio.open_connection(*address, limit=PIECE_SIZE)
        except OSError as error:
            raise ResetError from error
        writer.transport.set_write_buffer_limits(high=0)
        sending = asyncio.create_task(self._send_request(writer))
        answering = asyncio.create_task(self._send_response(reader, writer))
        try:
            tasks = {sending, answering}
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
            return answering.result()
        finally:
            # Before the wait: the proxy may be closed, and this task cancelled again, meanwhile.
            reset(writer)
            sending.cancel()
            answering.cancel()
            await asyncio.gather(sending, answering, return_exceptions=True)

    async def hang(self) -> None:
        """Do nothing, then reset.

        Raises:
            ResetError: always.
        """
        assert self.fault is not None
        self._strike()
        await asyncio.sleep(self.fault.seconds)
        raise ResetError

    async def _send_request(self, server: asyncio.StreamWriter) -> None:
        async def write(piece: bytes) -> None:
            try:
                await send(server, piece)
            except OSError:
                server.transport.abort()  # it has heard enough: the rest is discarded

        await write(self.head.encode(keep_alive=False))
        try:
            await self._relay(self.body, write, REQUEST_CUTS, FaultKind.CORRUPT_REQUEST)
        except CloseError:
            reset(server)
            self.writer.write_eof()
            # Closed with bytes unread, the client would see a reset.
            while await self.reader.read(PIECE_SIZE):
                pass
            raise

    async def _send_response(
        self, reader: asyncio.StreamReader, server: asyncio.StreamWriter
    ) -> bool:
        """Whether the connection to the client lasts."""
        try:
            head = await self._await_final_head(reader)
            body = BodyReader.of_response(reader, head, self.request.method)
            self.request.status = head.status
            if self._has(FaultKind.DROP_RESPONSE):
                self._strike()
                await body.discard()
                raise ResetError
            is_body_held_back = self.head.expects_continue and not (
                self.is_told_to_go_on or self.body.position
            )
            keep_alive = self.wants_keep_alive and body.is_bounded and not is_body_held_back
            await send(self.writer, head.encode(keep_alive=keep_alive))
            await self._relay(
                body,
                lambda piece: send(self.writer, piece),
                RESPONSE_CUTS,
                FaultKind.CORRUPT_RESPONSE,
            )
        except (OSError, asyncio.IncompleteReadError) as error:
            raise ResetError from error
        server.transport.abort()  # lets _send_request discard what the server does not want
        if not keep_alive:
            raise CloseError
        return keep_alive

    async def _await_final_head(self, reader: asyncio.StreamReader) -> Head:
        while (head := await read_head(reader)).status < 200:
            if head.status == 100:
                await self.tell_to_go_on()
        return head

    async def _relay(
        self,
        body: BodyReader,
        write: Callable[[bytes], Awaitable[None]],
        cuts: frozenset[FaultKind],
        corruption: FaultKind,
    ) -> None:
        """Pass a body on.

        Raises:
            ResetError, CloseError: the fault cuts this body, and that much was passed on.
        """
        at = self.fault.at if self.fault else 0
        rate = self.fault.rate if self.fault else 0
        is_cut = self._has(*cuts)
        size = max(1, min(PIECE_SIZE, rate // PIECES_PER_SECOND)) if rate else PIECE_SIZE
        while not (is_cut and body.position >= at):
            start = body.position
            piece = await body.read(min(size, at - start) if is_cut else size)
            if not piece:
                break
            if self._has(corruption) and start <= at < body.position:
                piece = _flip(piece, at - start)
                self._strike()
            if rate:
                self._strike()
                await asyncio.sleep(len(piece) / rate)
            await write(body.frame(piece))
        if is_cut:
            self._cut()
        if end := body.end():
            await write(end)

    def _has(self, *kinds: FaultKind) -> bool:
        return self.fault is not None and self.fault.kind in kinds

    def _strike(self) -> None:
        self.request.fault = self.fault

    def _cut(self) -> None:
        self._strike()
        is_reset = self._has(FaultKind.RESET_REQUEST, FaultKind.RESET_RESPONSE)
        raise ResetError if is_reset else CloseError


def _flip(piece: bytes, index: int) -> bytes:
    damaged = bytearray(piece)
    damaged[index] ^= 0x40
    return bytes(damaged)
