"""What is told of a request that has ended, for traces and figures of it.

No text of a prompt or an answer is told, but in `said`, which is there only if settings ask for that.
"""

from dataclasses import dataclass

from penstock.domain.trace_context import TraceContext
from penstock.domain.usage import RequestRecord


@dataclass(slots=True)
class Leg:
    """One try with an engine or a provider. Times are seconds since the request came; `ended_s` below 0: not yet.

    `model` is what it was asked for there; `error` a word for what went wrong, empty if nothing did.
    """

    context: TraceContext
    entity: str
    provider: str
    model: str
    began_s: float
    ended_s: float = -1.0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Traced:
    """The spans of a recorded request: its own, the caller's if there is one, and its tries.

    `said` are the bodies of the request and of its answer in OpenAI's shape, None unless settings ask for them.
    """

    context: TraceContext
    parent: TraceContext | None
    legs: tuple[Leg, ...] = ()
    said: tuple[bytes, bytes] | None = None


@dataclass(frozen=True, slots=True)
class EndedRequest:
    """A request to an endpoint. `overhead_ms` is our own time with it, below 0 where nothing was answered.

    `provider` and `model` are those of the entity that answered, as GenAI conventions call them. `traced` is None
    unless its trace is recorded.
    """

    record: RequestRecord
    overhead_ms: float
    provider: str
    model: str
    traced: Traced | None = None


@dataclass(frozen=True, slots=True)
class EndedCall:
    """A request to the control plane. `route` has parameters in braces, empty if there is no such route."""

    method: str
    route: str
    status: int
    request_id: str
    began_ms: int
    duration_s: float
    traced: Traced
