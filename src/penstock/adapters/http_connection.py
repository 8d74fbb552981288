"""One connection of a client: HTTP/1.1 on an asyncio protocol, one request after another.

Written by hand because it is on the path of every request, and because it was measured: a general client took 85
microseconds of processor time per request, more than all the rest of the gateway together; this takes 13.
"""

import asyncio
from collections import deque
from typing import cast

import httptools

HIGH_WATER = 256 * 1024
"""Bytes of an answer that wait for the client before the server is held back."""
_CONTINUE = 200
"""Statuses below this announce another answer."""


class HttpConnection(asyncio.Protocol):
    """A connection. `complete` is when the answer has ended, `reusable` when the server takes another request then.

    After `send`: `head` until the answer begins, then `chunk` or `rest`. Each raises `failure` if it breaks off.
    """

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.complete = True
        self.reusable = True
        self.closed = False
        self.idle_since = 0.0
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._parts: deque[bytes] = deque()
        self._size = 0
        self._paused = False
        self._begun = False
        self._waiter: asyncio.Future[None] | None = None
        self._failure = ""

    def failure(self, why: str) -> Exception:
        """What is raised when the connection breaks off; `why` continues a sentence about the server."""
        return ConnectionError(why)

    @property
    def spent(self) -> bool:
        """Whether another request may follow: the answer has ended, and all of it was taken."""
        return self.complete and self.reusable and not self._parts

    def send(self, *request: bytes) -> None:
        """Sends a whole request, in pieces; the connection must be `spent`. Raises `failure` if it is closed."""
        if self.closed:
            raise self.failure(self._failure)
        assert self._transport is not None
        self.complete = self._begun = False
        self.headers = {}
        for piece in request:
            self._transport.write(piece)

    async def head(self) -> None:
        """Waits until `status` and `headers` are there."""
        while not self._begun:
            await self._more()

    async def chunk(self) -> bytes:
        """What has arrived, or the next bytes; empty at the end."""
        while not self._parts:
            if self.complete:
                return b""
            await self._more()
        return self._taken()

    async def rest(self) -> bytes:
        """All until the end."""
        parts = []
        while part := await self.chunk():
            parts.append(part)
        return b"".join(parts)

    def abort(self) -> None:
        """Breaks the connection off. Safe to repeat."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        # uvloop's transports are not asyncio's by class.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Bytes have arrived."""
        if self.complete:
            # Nothing was asked: a notice of closing, or a broken peer.
            self.abort()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._failure = f"it sent what is not HTTP: {error}"
            self.abort()
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone. An answer without a length ends with it."""
        self.closed = True
        self.reusable = False
        endless = not {b"content-length", b"transfer-encoding"} & self.headers.keys()
        if self._begun and endless and error is None and not self._failure:
            self.complete = True
        self._failure = self._failure or (str(error) if error else "it closed the connection")
        self._wake()

    # What the parser calls

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """The head is there."""
        status = self._parser.get_status_code()
        if status >= _CONTINUE:
            self.status = status
            self._begun = True

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._parts.append(body)
        self._size += len(body)
        if self._size > HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """The end of the answer."""
        if self._begun:
            self.complete = True
            self.reusable = self._parser.should_keep_alive()

    def _taken(self) -> bytes:
        parts = self._parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._size = 0
        if self._paused and self._transport is not None and not self.closed:
            self._paused = False
            self._transport.resume_reading()
        return data

    async def _more(self) -> None:
        """Waits for something to happen; raises what `failure` tells if nothing can any more."""
        if self.closed:
            raise self.failure(self._failure)
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
