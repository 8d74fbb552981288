"""What is counted of requests since the start of the process, by served entity: for who looks at the server."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from penstock.domain.histogram import Histogram
from penstock.domain.usage import RequestOutcome, RequestRecord

# Those that OpenTelemetry's conventions for generative AI ask for, so that both ways of looking agree.
DURATION_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TTFT_S = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
TPOT_S = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
QUEUE_S = (0.001, *DURATION_S)
OVERHEAD_S = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)
_MS = 1000.0


@dataclass(slots=True)
class EntitySums:
    """Of one served entity. `ended` counts by outcome and status; tokens are as engines and providers counted."""

    ended: dict[tuple[str, int], int] = field(default_factory=dict)
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    duration: Histogram = field(default_factory=lambda: Histogram(DURATION_S))
    ttft: Histogram = field(default_factory=lambda: Histogram(TTFT_S))
    tpot: Histogram = field(default_factory=lambda: Histogram(TPOT_S))
    queue: Histogram = field(default_factory=lambda: Histogram(QUEUE_S))
    overhead: Histogram = field(default_factory=lambda: Histogram(OVERHEAD_S))

    def see(self, record: RequestRecord, overhead_ms: float) -> None:
        """One more that has ended. `overhead_ms` is below 0 where nothing was answered."""
        key = (record.outcome.value, record.status)
        self.ended[key] = self.ended.get(key, 0) + 1
        used = record.usage
        self.input_tokens += used.prompt_tokens
        self.output_tokens += used.completion_tokens
        self.cached_tokens += used.cached_tokens
        self.duration.see(record.duration_ms / _MS)
        self.queue.see(record.queue_ms / _MS)
        if overhead_ms >= 0:
            self.overhead.see(overhead_ms / _MS)
        ttft_s, tpot_s = ttft_of(record), tpot_of(record)
        if ttft_s is not None:
            self.ttft.see(ttft_s)
        if tpot_s is not None:
            self.tpot.see(tpot_s)

    def copy(self) -> "EntitySums":
        """As it is now."""
        histograms = (self.duration, self.ttft, self.tpot, self.queue, self.overhead)
        tokens = (self.input_tokens, self.output_tokens, self.cached_tokens)
        return EntitySums(dict(self.ended), *tokens, *(one.copy() for one in histograms))


def ttft_of(record: RequestRecord) -> float | None:
    """Seconds to the first token of a stream that was answered to its end; of other answers nobody can tell."""
    told = record.streaming and record.outcome is RequestOutcome.COMPLETED and record.ttft_ms >= 0
    return record.ttft_ms / _MS if told else None


def tpot_of(record: RequestRecord) -> float | None:
    """Seconds for each token of such a stream after the first one; None if there was none."""
    ttft_s, after = ttft_of(record), record.usage.completion_tokens - 1
    return None if ttft_s is None or after < 1 else (record.duration_ms / _MS - ttft_s) / after


class RequestSums:
    """Of all endpoints. Its size is bounded by the endpoints that there are, not by requests nor by time."""

    def __init__(self) -> None:
        self._endpoints: dict[str, dict[str, EntitySums]] = {}
        self.unknown = 0
        """Requests to endpoints that do not exist."""

    def publish(self, endpoint_id: str) -> None:
        """The endpoint is there. Safe to repeat."""
        self._endpoints.setdefault(endpoint_id, {})

    def withdraw(self, endpoint_id: str) -> None:
        """The endpoint is gone, and with it what was counted."""
        self._endpoints.pop(endpoint_id, None)

    def see(self, record: RequestRecord, overhead_ms: float) -> None:
        """A request has ended; one to an endpoint that is gone is passed over."""
        entities = self._endpoints.get(record.endpoint_id)
        if entities is None:
            return
        sums = entities.get(record.served_entity)
        if sums is None:
            sums = entities[record.served_entity] = EntitySums()
        sums.see(record, overhead_ms)

    def told(self) -> Mapping[str, Mapping[str, EntitySums]]:
        """By endpoint id and served entity, as it is now."""
        return {
            endpoint_id: {name: sums.copy() for name, sums in entities.items()}
            for endpoint_id, entities in self._endpoints.items()
        }
