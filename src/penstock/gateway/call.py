"""A request as the data plane's wire formats hand it over, and the client that waits for its answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from penstock.domain.access import Caller
from penstock.domain.errors import PenstockError
from penstock.domain.model import Task
from penstock.domain.trace_context import TraceContext
from penstock.domain.usage import Usage
from penstock.gateway.overhead import Overhead


@dataclass(frozen=True, slots=True)
class Asked:
    """What was read from a body. `client_request_id` is the client's own name for the request, for the ledger.

    `size` is the length of all `prompts` together: in tokens if they are `counted`, else in characters. `choices`
    answers are wanted with `most_out` tokens each at most, None if the body does not say. `usage_wanted`: a stream is
    to tell its usage at its end.
    """

    streaming: bool
    client_request_id: str
    size: int = 0
    counted: bool = False
    most_out: int | None = None
    choices: int = 1
    prompts: int = 1
    usage_wanted: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `task` is what its route is for, None for the endpoint's own; `entity` addresses one served entity.

    `read` checks the body for a task and raises InvalidRequest; the body itself is passed on as it came.
    `priority` is `batch` for what may wait behind everything else, or empty for what the endpoint's own kind gives.
    The client waits `patience_s` seconds for the answer to begin, None if it does not say. `own` measures our time
    since the request came, None if it comes just now; `trace` is the client's span of it, None if it does not say.
    """

    request_id: str
    caller: Caller
    endpoint: str
    entity: str | None
    task: Task | None
    body: bytes
    read: Callable[[Task, bytes], Asked]
    priority: str = ""
    patience_s: float | None = None
    own: Overhead | None = None
    trace: TraceContext | None = None


class Reply(Protocol):
    """The client's end. Sending to a client that has left does nothing."""

    async def begin(self, status: int, content_type: bytes, entity: str, retry_after: bytes = b"") -> None:
        """Sends the head of the answer, without a length."""
        ...

    async def send(self, chunk: bytes) -> None:
        """Sends bytes of the body now."""
        ...

    async def end(self) -> None:
        """Ends the body."""
        ...

    async def whole(self, status: int, content_type: bytes, entity: str, body: bytes, retry_after: bytes = b"") -> None:
        """Sends a complete answer."""
        ...

    def limited(self, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Headers that the answer is to have, whatever it will be: what is left of rate limits."""
        ...

    def status(self, error: PenstockError) -> int:
        """The HTTP status that an error has."""
        ...

    async def fail(self, error: PenstockError, usage: Usage) -> None:
        """Answers with an error; as the last event of a stream, with the usage so far, when it has begun."""
        ...
