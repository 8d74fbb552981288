"""How a request enters the ledger: the minutes that count it, and the digest that gives an altered row away.

A request counts in the minute of its end, what it was asked for in the minute of its arrival, and what it used in the
minutes in which it ran, in proportion. A minute that is closed never changes: what would fall into one counts in the
first that is still open, which is why each record keeps which that was.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace

from penstock.domain.usage import RequestRecord

MINUTE_MS = 60_000
SECOND_MS = 1000
MILLI = 1000
"""Sums are of whole thousandths of a reference token: they are exact, in whatever order they are made."""
# Made once: this is done for every request.
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def minute_of(at_ms: int) -> int:
    """The beginning of the minute, epoch milliseconds."""
    return at_ms - at_ms % MINUTE_MS


def entered(record: RequestRecord, open_from: int) -> RequestRecord:
    """The record with the minute that counts it, given the first minute that is not closed, and its digest."""
    minute = minute_of(max(_ended(record), open_from))
    return replace(record, minute=minute, open_from=open_from, digest=_digest(record, minute, open_from))


def digest_of(record: RequestRecord) -> str:
    """SHA-256 of all of a record but its digest, in hexadecimal."""
    return _digest(record, record.minute, record.open_from)


def _digest(record: RequestRecord, minute: int, open_from: int) -> str:
    usage = record.usage
    facts = {
        "request_id": record.request_id,
        "endpoint_id": record.endpoint_id,
        "endpoint_name": record.endpoint_name,
        "served_entity": record.served_entity,
        "replica_id": record.replica_id,
        "principal": record.principal,
        "task": record.task,
        "streaming": bool(record.streaming),
        "received_at": record.received_at,
        "outcome": record.outcome.value,
        "status": record.status,
        "usage": [usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens],
        "queue_ms": float(record.queue_ms),
        "ttft_ms": float(record.ttft_ms),
        "duration_ms": float(record.duration_ms),
        "reason": record.reason,
        "client_request_id": record.client_request_id,
        "device_s": float(record.device_s),
        "reference_tokens": float(record.reference_tokens),
        "asked_tokens": float(record.asked_tokens),
        "priority": record.priority,
        "lane": record.lane,
        "within": bool(record.within),
        "minute": minute,
        "open_from": open_from,
    }
    # Added later: rows from before, and those without, keep the digest that they have.
    added = {
        "measured_s": float(usage.measured_s),
        "decision": record.decision,
        "estimated": bool(usage.estimated),
        "trace_id": record.trace_id,
    }
    return digest(facts | {name: value for name, value in added.items() if value})


def digest(facts: object) -> str:
    """SHA-256 of the canonical JSON of something, in hexadecimal."""
    return hashlib.sha256(_canonical(facts).encode()).hexdigest()


def arrival(record: RequestRecord) -> int:
    """The minute that counts what a record asked for."""
    return minute_of(max(record.received_at, record.open_from))


def asked(record: RequestRecord) -> int:
    """Thousandths of reference tokens that it asked for."""
    return round(record.asked_tokens * MILLI)


def portions(record: RequestRecord) -> Iterator[tuple[int, int]]:
    """The minutes in which a record ran, each with its part of what it used in thousandths: together, all of it."""
    total = round(record.reference_tokens * MILLI)
    end = max(_ended(record), record.open_from)
    start = min(max(record.received_at + int(record.queue_ms), record.open_from), end)
    given = 0
    boundary = minute_of(start) + MINUTE_MS
    while boundary <= end:
        until = total * (boundary - start) // (end - start)
        yield boundary - MINUTE_MS, until - given
        given = until
        boundary += MINUTE_MS
    yield boundary - MINUTE_MS, total - given


def _ended(record: RequestRecord) -> int:
    return record.received_at + int(record.duration_ms)
