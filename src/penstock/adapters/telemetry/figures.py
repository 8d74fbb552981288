"""What is measured of a request that has ended, by OpenTelemetry's conventions for generative AI, and ours beside."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from penstock.adapters.telemetry.spans import error_of, operation_of
from penstock.domain.ended_request import EndedRequest
from penstock.domain.request_sums import DURATION_S, OVERHEAD_S, QUEUE_S, TPOT_S, TTFT_S, tpot_of, ttft_of

TOKENS = tuple(float(4**power) for power in range(14))


@dataclass(frozen=True, slots=True)
class Instrument:
    """A histogram: its name, its unit, what it is, and its bounds."""

    name: str
    unit: str
    text: str
    bounds: tuple[float, ...]


DURATION = Instrument("gen_ai.server.request.duration", "s", "From a request to the end of its answer.", DURATION_S)
TTFT = Instrument("gen_ai.server.time_to_first_token", "s", "To the first token of a stream.", TTFT_S)
TPOT = Instrument("gen_ai.server.time_per_output_token", "s", "For each token after the first.", TPOT_S)
USAGE = Instrument("gen_ai.client.token.usage", "{token}", "Tokens of requests and of their answers.", TOKENS)
QUEUE = Instrument("penstock.request.queue.duration", "s", "From a request to its being sent to be computed.", QUEUE_S)
OVERHEAD = Instrument("penstock.overhead.duration", "s", "Our own time with a request.", OVERHEAD_S)
INSTRUMENTS = (DURATION, TTFT, TPOT, USAGE, QUEUE, OVERHEAD)
Point = tuple[Instrument, float, Mapping[str, str]]
"""What an instrument records: a value, and of what it is."""


def points_of(ended: EndedRequest) -> Iterator[Point]:
    """All that is recorded of a request."""
    record = ended.record
    about = {
        "gen_ai.operation.name": operation_of(record),
        "gen_ai.provider.name": ended.provider,
        "gen_ai.request.model": ended.model,
        "penstock.endpoint.name": record.endpoint_name,
    }
    error = error_of(record)
    yield DURATION, record.duration_ms / 1000, about | ({"error.type": error} if error else {})
    yield QUEUE, record.queue_ms / 1000, about
    if ended.overhead_ms >= 0:
        yield OVERHEAD, ended.overhead_ms / 1000, about
    ttft_s, tpot_s = ttft_of(record), tpot_of(record)
    if ttft_s is not None:
        yield TTFT, ttft_s, about
    if tpot_s is not None:
        yield TPOT, tpot_s, about
    used = record.usage
    if used.prompt_tokens or used.completion_tokens:
        yield USAGE, used.prompt_tokens, about | {"gen_ai.token.type": "input"}
        yield USAGE, used.completion_tokens, about | {"gen_ai.token.type": "output"}
