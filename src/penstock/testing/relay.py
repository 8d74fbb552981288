"""Engines behind the relay, played by tests."""

import asyncio

from penstock.domain.errors import EngineFailed
from penstock.domain.trace_context import TraceContext
from penstock.domain.usage import Usage

JSON = b"application/json"
EVENTS = b"text/event-stream"


class FakeAnswer:
    """One request in a played engine; see `penstock.ports.relay.Answer`. Bytes are fed, then the end or a break."""

    def __init__(self) -> None:
        self.status = 200
        self.content_type = JSON
        self.retry_after = b""
        self.measured_s = 0.0
        self.closed = False
        self._parts: asyncio.Queue[bytes | None] = asyncio.Queue()

    def feed(self, *parts: bytes) -> None:
        """Sends bytes."""
        for part in parts:
            self._parts.put_nowait(part)

    def finish(self) -> None:
        """Ends the body."""
        self._parts.put_nowait(b"")

    def break_off(self) -> None:
        """The connection is lost."""
        self._parts.put_nowait(None)

    async def chunk(self) -> bytes:
        """What was fed next."""
        part = await self._parts.get()
        if part is None:
            raise EngineFailed("The engine broke off.")
        return part

    async def whole(self) -> bytes:
        """All that is fed until the end."""
        parts = []
        while part := await self.chunk():
            parts.append(part)
        return b"".join(parts)

    def close(self) -> None:
        """Notes it."""
        self.closed = True


class FakeEngines:
    """Played engines by address; see `penstock.ports.relay.Relay` and `penstock.ports.engine.EngineCanceller`.

    An address in `dead` refuses; others hold a request until the test lets its answer begin, by request id. `used` is
    what a cancelled request is said to have used. `namespaces`, `adapters` and `traces` are those of what was sent.
    """

    def __init__(self) -> None:
        self.dead: set[str] = set()
        self.sent: list[tuple[str, str, bytes, str]] = []
        self.patience: dict[str, float] = {}
        self.namespaces: list[str] = []
        self.adapters: list[str] = []
        self.traces: list[TraceContext | None] = []
        self.cancelled: list[tuple[str, str]] = []
        self.used: Usage | None = Usage(5, 2, 1)
        self._opening: dict[str, asyncio.Future[FakeAnswer]] = {}

    async def open(
        self,
        address: str,
        path: str,
        body: bytes,
        request_id: str,
        *,
        namespace: str,
        adapter: str = "",
        patience_s: float = 0.0,
        trace: TraceContext | None = None,
    ) -> FakeAnswer:
        """Waits for the test."""
        self.patience[request_id] = patience_s
        self.sent.append((address, path, body, request_id))
        self.namespaces.append(namespace)
        self.adapters.append(adapter)
        self.traces.append(trace)
        if address in self.dead:
            raise EngineFailed("The engine cannot be reached.")
        future: asyncio.Future[FakeAnswer] = asyncio.get_running_loop().create_future()
        self._opening[request_id] = future
        return await future

    def begin(self, request_id: str, *, events: bool = False) -> FakeAnswer:
        """Lets the answer of a waiting request begin."""
        answer = FakeAnswer()
        answer.content_type = EVENTS if events else JSON
        self._opening.pop(request_id).set_result(answer)
        return answer

    def refuse(self, request_id: str) -> None:
        """The engine dies before it answers."""
        self._opening.pop(request_id).set_exception(EngineFailed("The engine broke off."))

    def waits(self, request_id: str) -> bool:
        """Whether the engine has the request and has not begun to answer."""
        future = self._opening.get(request_id)
        return future is not None and not future.done()

    async def cancel(self, address: str, request_id: str) -> Usage | None:
        """Notes it."""
        self.cancelled.append((address, request_id))
        return self.used
