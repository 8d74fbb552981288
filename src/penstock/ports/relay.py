"""Requests to running engines, as the data plane sends them: bodies and chunks are opaque bytes.

Contract. Nothing here parses a body. An engine that cannot be reached, or breaks off, is `EngineFailed`; an engine that
answers with an error status is an answer. There is no limit on the whole duration: whoever waits decides how long.
"""

from typing import Protocol

from penstock.domain.trace_context import TraceContext


class Answer(Protocol):
    """What an engine answers. It must be closed, also after its end, and may be closed at any time."""

    status: int
    content_type: bytes
    retry_after: bytes
    """The engine's `Retry-After`, empty if it sent none."""
    measured_s: float
    """Seconds of the device that the engine says a whole answer took, 0 if it does not tell."""

    async def whole(self) -> bytes:
        """The whole body; raises EngineFailed if it breaks off."""
        ...

    async def chunk(self) -> bytes:
        """The next bytes as they arrive, empty at the end; raises EngineFailed if it breaks off."""
        ...

    def close(self) -> None:
        """Gives the connection back, or breaks it off when the body has not ended. Safe to repeat."""
        ...


USAGE_COMMENT = b": usage "
"""How a comment in a stream's last event begins that tells its usage, as JSON: for us, not for the client."""


class Relay(Protocol):
    """A client of engines; keeps connections. Safe from any task of the event loop."""

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
    ) -> Answer:
        """Posts a JSON body to the engine at `address`, and returns when its answer begins.

        What was computed of prompts is used again within a `namespace` (printable ASCII) only: an engine has several
        owners' requests, and how quickly it answers must not tell one what another has asked. It computes with the
        `adapter` of that name, if one is named. Of prompts that wait, it is to compute first the one that has waited
        for its `patience_s` soonest. It is told the `trace`.

        A connection that the engine had closed while it was idle is replaced unnoticed.

        Raises:
            EngineFailed: the engine cannot be reached, or broke off before it answered.
            InvalidRequest: the body asks for something that the engine would pass over.
        """
        ...
