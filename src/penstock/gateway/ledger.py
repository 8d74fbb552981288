"""The account of every request: opened at arrival, journaled when admitted, ended exactly once."""

from typing import TYPE_CHECKING

from penstock.domain.routing import EndpointRoute
from penstock.domain.usage import RequestOutcome, RequestRecord, Usage
from penstock.gateway.call import Call
from penstock.gateway.interrupt import Cut
from penstock.gateway.overhead import Overhead
from penstock.ports.clock import Clock
from penstock.ports.journal import Journal

if TYPE_CHECKING:
    from penstock.domain.tenancy import Sale

NOTHING = Usage()
MOST_TEXT = 500
"""Characters of a reason, or of a client's own request id, that are kept."""


class Entry:
    """One request's account. What is known is written into its fields as it becomes known."""

    __slots__ = (
        "_call",
        "_clock",
        "_endpoint",
        "_journal",
        "_sent",
        "_spoke",
        "admitted",
        "asked_s",
        "began",
        "client_request_id",
        "decision",
        "ended",
        "entity",
        "lane",
        "outcome",
        "priority",
        "prompts",
        "received_at",
        "record",
        "replica_id",
        "sale",
        "streaming",
        "trace_id",
        "usage",
        "within",
    )

    def __init__(self, journal: Journal, clock: Clock, call: Call, endpoint: EndpointRoute) -> None:
        self._journal = journal
        self._clock = clock
        self._call = call
        self._endpoint = endpoint
        self.admitted = False
        self.received_at = clock.now_ms()
        self.began = clock.monotonic()
        self._sent = self._spoke = -1.0
        self.ended = False
        self.streaming = False
        self.trace_id = ""
        self.client_request_id = self.entity = self.replica_id = ""
        self.usage = NOTHING
        self.sale: Sale | None = None
        self.outcome: RequestOutcome | None = None
        self.record: RequestRecord | None = None
        """How it ended, once it has."""
        self.asked_s = 0.0
        self.prompts = 1
        self.priority = self.lane = self.decision = ""
        self.within = False

    @property
    def age_s(self) -> float:
        """Seconds since the request came."""
        return self._clock.monotonic() - self.began

    @property
    def sent(self) -> bool:
        """Whether it was sent to be computed."""
        return self._sent >= 0

    @property
    def sent_s(self) -> float:
        """Seconds since it was sent to be computed."""
        return self._clock.monotonic() - self._sent if self.sent else 0.0

    def admit(self) -> None:
        """From here on the request is in the ledger whatever happens to this process. Safe to repeat.

        Raises Temporary if the ledger can take no more: the request is refused.
        """
        if not self.admitted:
            self._journal.admitted(self._record(RequestOutcome.FAILED, 500, Cut.STOPPED, self.began))
            self.admitted = True

    def send(self) -> None:
        """The request goes to an engine now; the last time counts."""
        self._sent = self._clock.monotonic()

    def speak(self) -> None:
        """The answer begins now."""
        self._spoke = self._clock.monotonic()

    def end(self, outcome: RequestOutcome, status: int, reason: str = "") -> None:
        """The request ended. Only the first call counts, so that the last resort may always call it."""
        if not self.ended:
            self.ended = True
            self.outcome = outcome
            self.record = self._record(outcome, status, reason, self._clock.monotonic())
            self._journal.ended(self.record)

    def _record(self, outcome: RequestOutcome, status: int, reason: str, now: float) -> RequestRecord:
        began, terms = self.began, self.sale.terms if self.sale is not None else None
        throughput = terms.throughput if terms is not None else 0.0
        used = self.usage
        used_s = 0.0
        if terms is not None and (used.prompt_tokens or used.completion_tokens):
            used_s = terms.used_s(used.prompt_tokens, used.completion_tokens, used.cached_tokens, self.prompts)
        return RequestRecord(
            self._call.request_id,
            self._endpoint.id,
            self._endpoint.name,
            self.entity,
            self.replica_id,
            self._call.caller.principal.name,
            self._call.task or self._endpoint.task or "",
            self.streaming,
            self.received_at,
            outcome,
            status,
            self.usage,
            round(((now if self._sent < 0 else self._sent) - began) * 1000, 3),
            -1.0 if self._spoke < 0 else round((self._spoke - began) * 1000, 3),
            round((now - began) * 1000, 3),
            _short(reason),
            _short(self.client_request_id),
            used_s,
            used_s * throughput,
            self.asked_s * throughput,
            self.priority,
            self.lane,
            self.within,
            decision=self.decision,
            trace_id=self.trace_id,
        )


def _short(text: str) -> str:
    """Others write parts of it: not more than a row should hold, and nothing that a database refuses."""
    short = text[:MOST_TEXT]
    if short.isascii():
        return short.replace("\0", "") if "\0" in short else short
    return short.replace("\0", "").encode(errors="replace").decode()


class Ledger:
    """Where accounts are opened."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self.journal = journal
        self._clock = clock

    def watch(self) -> Overhead:
        """Begins to measure our own time with a request."""
        return Overhead(self._clock.monotonic)

    def open(self, call: Call, endpoint: EndpointRoute) -> Entry:
        """The account of a request to `endpoint`."""
        return Entry(self.journal, self._clock, call, endpoint)
