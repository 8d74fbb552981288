"""A client's end that also keeps what it is sent, for traces with texts: only where settings ask for them."""

from collections.abc import Sequence

from penstock.domain.errors import PenstockError
from penstock.domain.usage import Usage
from penstock.gateway.call import Reply

MOST_KEPT = 64 * 1024
"""Bytes of a request, and of an answer, that are kept: many of them may wait to be told of."""


class Recording:
    """See `penstock.gateway.call.Reply`."""

    def __init__(self, reply: Reply, asked: bytes) -> None:
        """`asked` is the request's body."""
        self._reply = reply
        self._asked = asked if len(asked) <= MOST_KEPT else b""
        self._parts = bytearray()

    @property
    def said(self) -> tuple[bytes, bytes]:
        """The request's body, empty if it is longer than what is kept, and the beginning of the answer's."""
        return self._asked, bytes(self._parts)

    def _keep(self, part: bytes) -> None:
        self._parts += part[: MOST_KEPT - len(self._parts)]

    async def begin(self, status: int, content_type: bytes, entity: str, retry_after: bytes = b"") -> None:
        """Passes it on."""
        await self._reply.begin(status, content_type, entity, retry_after)

    async def send(self, chunk: bytes) -> None:
        """Keeps it."""
        self._keep(chunk)
        await self._reply.send(chunk)

    async def end(self) -> None:
        """Passes it on."""
        await self._reply.end()

    async def whole(self, status: int, content_type: bytes, entity: str, body: bytes, retry_after: bytes = b"") -> None:
        """Keeps it."""
        self._keep(body)
        await self._reply.whole(status, content_type, entity, body, retry_after)

    def limited(self, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Passes it on."""
        self._reply.limited(headers)

    def status(self, error: PenstockError) -> int:
        """As the client's end says."""
        return self._reply.status(error)

    async def fail(self, error: PenstockError, usage: Usage) -> None:
        """Passes it on."""
        await self._reply.fail(error, usage)
