"""Requests that ended in the last minute, in sums by the second: what is told often is not read from the ledger."""

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from penstock.domain.usage import RequestRecord

LATENCIES_MS = (5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000)
"""Upper bounds of the histograms' parts; one more is without a bound."""
SECONDS = 60
_CLIENT_ERROR, _SERVER_ERROR = 400, 500


@dataclass(slots=True)
class Histogram:
    """Milliseconds: how many are in each part of `LATENCIES_MS`, and their sum."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(LATENCIES_MS) + 1))
    total: float = 0.0

    def see(self, value: float) -> None:
        """One more."""
        self.counts[bisect_left(LATENCIES_MS, value)] += 1
        self.total += value

    def add(self, other: "Histogram") -> None:
        """All of another."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.total += other.total


@dataclass(slots=True)
class Ended:
    """Requests that ended: how many, how many with a status of 4xx and 5xx, how long they took and waited.

    `prediction` is from their being sent to an engine or a provider until the end of the answer, of those that were.
    """

    requests: int = 0
    client_errors: int = 0
    server_errors: int = 0
    duration: Histogram = field(default_factory=Histogram)
    queue: Histogram = field(default_factory=Histogram)
    prediction: Histogram = field(default_factory=Histogram)

    def see(self, record: RequestRecord) -> None:
        """One more."""
        self.requests += 1
        self.client_errors += _CLIENT_ERROR <= record.status < _SERVER_ERROR
        self.server_errors += record.status >= _SERVER_ERROR
        self.duration.see(record.duration_ms)
        self.queue.see(record.queue_ms)
        if record.duration_ms > record.queue_ms:
            self.prediction.see(record.duration_ms - record.queue_ms)

    def add(self, other: "Ended") -> None:
        """All of another."""
        self.requests += other.requests
        self.client_errors += other.client_errors
        self.server_errors += other.server_errors
        self.duration.add(other.duration)
        self.queue.add(other.queue)
        self.prediction.add(other.prediction)


class LastMinute:
    """By endpoint. Its size is bounded by endpoints and seconds, not by requests."""

    def __init__(self) -> None:
        self._seconds: dict[str, deque[tuple[int, Ended]]] = {}

    def see(self, records: Sequence[RequestRecord], now_ms: int) -> None:
        """Counts requests that have ended; those of long ago are passed over."""
        now = now_ms // 1000
        for record in records:
            second = min((record.received_at + int(record.duration_ms)) // 1000, now)
            if second > now - SECONDS:
                self._of(record.endpoint_id, second).see(record)

    def _of(self, endpoint_id: str, second: int) -> Ended:
        kept = self._seconds.setdefault(endpoint_id, deque())
        for at, ended in reversed(kept):
            if at == second:
                return ended
        ended = Ended()
        kept.append((second, ended))
        return ended

    def told(self, endpoint_id: str, now_ms: int) -> Ended:
        """All of an endpoint's in the last minute."""
        told, first = Ended(), now_ms // 1000 - SECONDS
        for second, ended in self._seconds.get(endpoint_id, ()):
            if second > first:
                told.add(ended)
        return told

    def forget(self, now_ms: int) -> None:
        """Drops what is older."""
        first = now_ms // 1000 - SECONDS
        for endpoint_id, kept in list(self._seconds.items()):
            fresh = deque(one for one in kept if one[0] > first)
            if fresh:
                self._seconds[endpoint_id] = fresh
            else:
                del self._seconds[endpoint_id]
