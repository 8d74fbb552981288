"""Requests that have ended, to be told of."""

from dataclasses import replace

from penstock.domain.ended_request import EndedCall, EndedRequest, Leg, Traced
from penstock.domain.trace_context import TraceContext
from penstock.domain.usage import RequestOutcome, RequestRecord, Usage

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = TraceContext(TRACE, "b7ad6b7169203331", 1, "a=b")
OWN = TraceContext(TRACE, "00f067aa0ba902b7", 3, "a=b")
TRY = TraceContext(TRACE, "1111111111111111", 3, "a=b")
RECORD = RequestRecord(
    "q1", "e1", "guide", "far", "", "ann@x.org", "llm/v1/chat", True, 1_700_000_000_000, RequestOutcome.COMPLETED, 200,
    Usage(5, 11, 3), 20.0, 500.0, 1500.0, "", "mine", priority="reserved", lane="lent",
)  # fmt: skip


def ended(*, error="", said=None, traced=True, **changes):
    leg = Leg(TRY, "far", "openai", "gpt-4o", 0.02, 1.5, error)
    spans = Traced(OWN, CALLER, (leg,), said) if traced else None
    return EndedRequest(replace(RECORD, **changes), 0.4, "openai", "gpt-4o", spans)


def called(status=200):
    own = TraceContext("c" * 32, "d" * 16, 3)
    return EndedCall("GET", "/api/2.0/secrets/list", status, "r1", 1_700_000_000_000, 0.25, Traced(own, None))
