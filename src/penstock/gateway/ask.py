"""Requests from inside: the same path, the same account, an answer that is collected instead of sent."""

import asyncio
from collections.abc import Callable, Sequence

from penstock.domain.access import Caller
from penstock.domain.errors import Overloaded, PenstockError, Temporary
from penstock.domain.model import Task
from penstock.domain.usage import Usage
from penstock.gateway.call import Asked, Call
from penstock.gateway.interrupt import Cut, Interrupt
from penstock.gateway.serve import Gateway
from penstock.ports.inference import Told

BATCH = "batch"


class Collected:
    """See `penstock.gateway.call.Reply`. Keeps the answer; `told` puts an error into status and body."""

    def __init__(self, told: Callable[[PenstockError], tuple[int, bytes]]) -> None:
        self.code = 0
        self.body = b""
        self.retry_after_s: float | None = None
        self._told = told

    async def begin(self, status: int, content_type: bytes, entity: str, retry_after: bytes = b"") -> None:  # noqa: ARG002 - the protocol's
        """Keeps the head."""
        self.code = status
        self.retry_after_s = float(retry_after) if retry_after.isdigit() else None

    async def send(self, chunk: bytes) -> None:
        """Keeps bytes."""
        self.body += chunk

    async def end(self) -> None:
        """Nothing."""

    async def whole(self, status: int, content_type: bytes, entity: str, body: bytes, retry_after: bytes = b"") -> None:
        """Keeps the answer."""
        await self.begin(status, content_type, entity, retry_after)
        self.body = body

    def limited(self, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Nothing: what is collected has no headers."""

    def status(self, error: PenstockError) -> int:
        """The HTTP status of an error."""
        return self._told(error)[0]

    async def fail(self, error: PenstockError, usage: Usage) -> None:  # noqa: ARG002 - the protocol's
        """Keeps the error as the answer."""
        self.code, self.body = self._told(error)
        if isinstance(error, Overloaded | Temporary):
            self.retry_after_s = float(error.retry_after_s)


class InProcess:
    """See `penstock.ports.inference.Inference`."""

    def __init__(
        self,
        gateway: Gateway,
        read: Callable[[Task, bytes], Asked],
        told: Callable[[PenstockError], tuple[int, bytes]],
        new_id: Callable[[], str],
    ) -> None:
        """`read` checks bodies; `told` is the status and the body of an error."""
        self._gateway = gateway
        self._read = read
        self._told = told
        self._new_id = new_id

    async def ask(self, caller: Caller, endpoint: str, task: Task, body: bytes) -> Told:
        """Asks at batch priority; raises Temporary when the server stops."""
        if self._gateway.running.draining:
            raise Temporary("The server is stopping.")
        reply, request_id = Collected(self._told), self._new_id()
        call = Call(request_id, caller, endpoint, None, task, body, self._read, BATCH)
        await self._serve(call, reply)
        return Told(reply.code, reply.body, request_id, reply.retry_after_s)

    async def _serve(self, call: Call, reply: Collected) -> None:
        """Cancelled, it ends the request as that of a client that left."""
        made: list[Interrupt] = []

        async def serve() -> None:
            made.append(Interrupt())
            await self._gateway.serve(call, reply, made[0])

        task = asyncio.create_task(serve())
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if made:
                made[0].cut(Cut.GONE)
            else:
                task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise
