"""An HTTP/1.1 proxy on the loopback that keeps a record, and lets things go wrong.

It passes the Host header on, so that signatures hold, and bodies piece by piece.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import unquote

from tests.support.exchange import CloseError, Exchange, ResetError, reset
from tests.support.faults import FaultKind, FaultPlan, Reply, Request
from tests.support.http_message import PIECE_SIZE, BodyReader, Head, read_head

MOST_HELD = 256
"""Requests that `intercept` may hold at once."""


class FaultProxy:
    """A proxy that runs in a thread of its own while its context lasts.

    A failure of `intercept`, or of the proxy itself, is raised when the context ends.
    """

    def __init__(
        self,
        upstream: Callable[[Request], tuple[str, int]],
        *,
        intercept: Callable[[Request], Reply | None] = lambda request: None,
    ) -> None:
        self.url = ""
        self.requests: list[Request] = []
        """All requests, in the order in which their heads came."""
        self.faults = FaultPlan()
        self.intercept = intercept
        """Answers a request in the server's stead, or holds it; runs in threads."""
        self._upstream = upstream
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._executor = ThreadPoolExecutor(MOST_HELD, thread_name_prefix="intercept")
        self._clients: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._failures: list[BaseException] = []

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        host, port = self._server.sockets[0].getsockname()
        self.url = f"http://{host}:{port}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._executor.shutdown()
        self._loop.close()
        if self._failures and error is None:
            raise self._failures[0]

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=PIECE_SIZE)

    async def _close(self) -> None:
        # What has just been accepted gets its transport before the server closes: later, asyncio
        # makes none, and leaves the socket open.
        for listener in self._server.sockets:
            self._loop.remove_reader(listener.fileno())
        await asyncio.sleep(0)
        self._server.close()
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            for writer in self._clients.values():
                reset(writer)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            # Transports close their sockets one turn after they are told to.
            await asyncio.sleep(0)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._clients[task] = writer
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._clients[task]
        if not task.cancelled() and (failure := task.exception()):
            self._failures.append(failure)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.set_write_buffer_limits(high=0)
        try:
            while await self._exchange(reader, writer):
                pass
        except ResetError:
            reset(writer)
        except (CloseError, OSError, asyncio.IncompleteReadError):
            pass  # as planned, or the client has gone
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; whether the connection lasts."""
        head = await read_head(reader)
        request = _request_of(head)
        body = BodyReader.of_request(reader, head)
        exchange = Exchange(request=request, head=head, reader=reader, writer=writer, body=body)
        self.requests.append(request)
        reply = await self._loop.run_in_executor(self._executor, self.intercept, request)
        if reply is None:
            exchange.fault = self.faults.take(request)
        if exchange.fault is not None and exchange.fault.kind is FaultKind.HANG:
            await exchange.hang()
        if exchange.fault is not None and (reply := exchange.fault.reply()):
            request.fault = exchange.fault
        if reply is not None:
            return await exchange.answer(reply)
        return await exchange.forward(self._upstream(request))


def _request_of(head: Head) -> Request:
    method, target, _ = head.line.split(" ")
    path, _, query = target.partition("?")
    return Request(method=method, path=unquote(path), query=query, headers=head.headers)
