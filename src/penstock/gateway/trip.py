"""One request on its way: what the steps of `penstock.gateway.serve` know of it between them."""

from dataclasses import dataclass, field

from penstock.domain.model import Task
from penstock.domain.routing import EndpointRoute
from penstock.domain.trace_context import TraceContext
from penstock.domain.usage import Usage
from penstock.gateway.call import Asked, Call, Reply
from penstock.gateway.gate import Turn
from penstock.gateway.ledger import NOTHING, Entry
from penstock.gateway.limits import Held
from penstock.gateway.meter import Meter
from penstock.gateway.overhead import Overhead
from penstock.gateway.quotas import Taken
from penstock.gateway.rooms import Pass
from penstock.gateway.tail import Tail
from penstock.gateway.trace import Trace
from penstock.ports.provider import ProviderAnswer
from penstock.ports.relay import Answer


@dataclass(slots=True)
class Trip:
    """One request. `entity` is the served entity's name; `lost` are replicas that failed it.

    `tries` counts its turns at the gate, and `tokens` the events that were passed on. `held` is its share of the
    endpoint's rate limits, and `taken` of the workspace's. An external model's answer is `abroad`, and read by `meter`.
    `own` measures our own time with it; `trace` is None if it is part of none.
    """

    call: Call
    endpoint: EndpointRoute
    entry: Entry
    reply: Reply
    own: Overhead
    entity: str = ""
    lost: set[str] = field(default_factory=set)
    losses: int = 0
    task: Task | None = None
    asked: Asked | None = None
    turn: Turn | None = None
    tries: int = 0
    tokens: int = 0
    passed: Pass | None = None
    answer: Answer | None = None
    tail: Tail | None = None
    held: Held | None = None
    taken: Taken | None = None
    abroad: ProviderAnswer | None = None
    meter: Meter | None = None
    trace: Trace | None = None

    def leave(self, provider: str, model: str) -> TraceContext | None:
        """A try with an engine or a provider begins; the trace context that it carries."""
        self.entry.send()
        return None if self.trace is None else self.trace.leave(self.entry.age_s, self.entity, provider, model)

    def back(self, error: str) -> None:
        """The try has failed."""
        if self.trace is not None:
            self.trace.back(self.entry.age_s, error)

    def used(self, *, computing: bool = False) -> Usage:
        """What was used so far, as far as it can be told from what has passed.

        While an external model is `computing`, what it was asked counts though nothing has come back.
        """
        if self.meter is not None and (computing or self.meter.heard):
            return self.meter.usage()
        return (self.tail.usage() if self.tail is not None else None) or NOTHING
