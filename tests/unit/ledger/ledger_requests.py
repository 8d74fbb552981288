"""Requests for the ledger's tests."""

from penstock.domain.usage import RequestOutcome, RequestRecord, Usage

NOON = 1_700_000_040_000
"""The beginning of a minute."""
HOUR = 1_700_002_800_000
"""The beginning of an hour."""


def request(name: str, at: int = NOON, lasted_s: float = 2.0, **what: object) -> RequestRecord:
    """A request of 100 tokens that came at `at` and was done in `lasted_s`, half a second of it in the queue."""
    given = {
        "request_id": name,
        "endpoint_id": "e1",
        "endpoint_name": "guide",
        "served_entity": "guide-1",
        "replica_id": "r1",
        "principal": "ann",
        "task": "llm/v1/chat",
        "streaming": True,
        "received_at": at,
        "outcome": RequestOutcome.COMPLETED,
        "status": 200,
        "usage": Usage(80, 21, 0),
        "queue_ms": 500.0,
        "ttft_ms": 1000.0,
        "duration_ms": lasted_s * 1000,
        "device_s": 0.25,
        "reference_tokens": 100.0,
        "asked_tokens": 120.0,
        "priority": "reserved",
        "lane": "guaranteed",
        "within": True,
    }
    return RequestRecord(**{**given, **what})


def refused(name: str, at: int = NOON, reason: str = "too much", **what: object) -> RequestRecord:
    """A request that was refused at once."""
    nothing = {"outcome": RequestOutcome.REJECTED, "status": 429, "usage": Usage(), "replica_id": "", "lane": ""}
    times = {"queue_ms": 0.0, "ttft_ms": -1.0, "reference_tokens": 0.0, "device_s": 0.0, "within": False}
    return request(name, at, 0.0, reason=reason, **{**nothing, **times, **what})
