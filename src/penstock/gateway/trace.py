"""The trace that a request is part of: what is carried on to engines and providers, and what is recorded of them."""

from collections.abc import Callable
from dataclasses import dataclass, field

from penstock.domain.ended_request import Leg, Traced
from penstock.domain.trace_context import SAMPLED, TraceContext
from penstock.domain.trace_sampler import Sampler

_SPAN_BITS, _TRACE_BITS = 64, 128
_RANDOM = 2
"""The flag that says that a trace's id was drawn at random."""


class Trace:
    """Of one request. `context` is the span that is passed on, until a try has one of its own."""

    __slots__ = ("_legs", "_new_span", "context", "keeps_text", "parent")

    def __init__(
        self,
        context: TraceContext,
        parent: TraceContext | None = None,
        new_span: Callable[[], str] | None = None,
        *,
        keeps_text: bool = False,
    ) -> None:
        """Nothing is recorded unless `new_span` makes ids of spans."""
        self.context = context
        self.parent = parent
        self._new_span = new_span
        self.keeps_text = keeps_text and new_span is not None
        self._legs: list[Leg] = []

    def leave(self, now_s: float, entity: str, provider: str, model: str) -> TraceContext:
        """A try begins, seconds after the request came; what it carries."""
        if self._new_span is None:
            return self.context
        own = TraceContext(self.context.trace_id, self._new_span(), self.context.flags, self.context.state)
        self._legs.append(Leg(own, entity, provider, model, now_s))
        return own

    def back(self, now_s: float, error: str = "") -> None:
        """The try is over. Does nothing if it was."""
        if self._legs and self._legs[-1].ended_s < 0:
            self._legs[-1].ended_s, self._legs[-1].error = now_s, error

    def told(self, said: tuple[bytes, bytes] | None = None) -> Traced | None:
        """What was recorded."""
        return None if self._new_span is None else Traced(self.context, self.parent, tuple(self._legs), said)


@dataclass(frozen=True, slots=True)
class Tracing:
    """Begins traces: which are recorded, by `sampler`, and whether with the text that is asked and answered.

    `draw` gives that many random bits.
    """

    draw: Callable[[int], int]
    sampler: Sampler = field(default_factory=Sampler)
    keeps_text: bool = False

    def begin(self, parent: TraceContext | None) -> Trace:
        """The trace of a request that has come, of which the caller's span is `parent`."""
        if parent is None:
            trace_id, flags, state = f"{self._drawn(_TRACE_BITS):032x}", _RANDOM, ""
        else:
            trace_id, flags, state = parent.trace_id, parent.flags & ~SAMPLED, parent.state
        recorded = self.sampler.samples(trace_id, parent)
        context = TraceContext(trace_id, self._span_id(), flags | (SAMPLED if recorded else 0), state)
        return Trace(context, parent, self._span_id if recorded else None, keeps_text=self.keeps_text)

    def _span_id(self) -> str:
        return f"{self._drawn(_SPAN_BITS):016x}"

    def _drawn(self, bits: int) -> int:
        # Zero is no id.
        return self.draw(bits) or 1
