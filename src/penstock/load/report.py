"""What a run says: throughput, the spread of times, and how much of it was good enough."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from penstock.domain.errors import InvalidParameter
from penstock.load.arrivals import Closed
from penstock.load.row import Outcome, Row
from penstock.load.runner import Results

WARM_PART = 1 / 3
"""At most this part of a run is left out at its beginning."""
ROUNDS = 3
"""A run shorter than so many requests one after another says little."""


@dataclass(frozen=True, slots=True)
class Slo:
    """What a request has to keep to count as good: seconds to the first token, for each one after it, and in all."""

    ttft_s: float | None = None
    tpot_s: float | None = None
    latency_s: float | None = None

    def __post_init__(self) -> None:
        if any(limit is not None and not limit > 0 for limit in (self.ttft_s, self.tpot_s, self.latency_s)):
            raise InvalidParameter("limits of time to first token, per token and in all must be positive seconds")

    def kept(self, row: Row) -> bool:
        """Whether the request was served within the limits; one without a first token has not kept one on it."""
        if not row.served:
            return False
        if self.ttft_s is not None and (row.ttft_s is None or row.ttft_s > self.ttft_s):
            return False
        if self.latency_s is not None and row.latency_s > self.latency_s:
            return False
        return self.tpot_s is None or row.tpot_s is None or row.tpot_s <= self.tpot_s


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and percentiles, in seconds."""

    mean: float
    p50: float
    p90: float
    p99: float


@dataclass(frozen=True, slots=True)
class Report:
    """One run in figures. Rates are per second of the `measured_s` seconds after the warm-up of `warm_s`.

    `tokens_per_s` is input and output together, each request's tokens spread over the time it took. `goodput` is
    requests per second that kept the service level and `kept` their part of all, refused and failed ones included;
    both None without a level. `first_retry_accepted` is the part of first retries that were not refused again, None
    if there were none. `late_s` is how late the client itself sent at the 99th percentile: beyond a few
    hundredths, it was the client that was too slow. `short` says that the run had no time for three requests one
    after another. `timeline` is tokens in each second from the beginning, the warm-up and the end included.
    """

    arrivals: str
    parallel: int | None
    seconds: float
    warm_s: float
    measured_s: float
    requests: int
    outcomes: dict[str, int]
    requests_per_s: float
    tokens_per_s: float
    output_tokens_per_s: float
    ttft: Spread | None
    tpot: Spread | None
    latency: Spread | None
    goodput: float | None
    kept: float | None
    retries: int
    first_retry_accepted: float | None
    late_s: float
    short: bool
    timeline: tuple[float, ...]


def summarise(results: Results, slo: Slo | None = None, warm_s: float | None = None) -> Report:
    """The report of a run. Without `warm_s`, the median latency is left out at the beginning, a third at most."""
    rows = results.rows
    median = statistics.median([row.latency_s for row in rows if row.served] or [0.0])
    warm = min(median, results.seconds * WARM_PART) if warm_s is None else warm_s
    if not 0 <= warm < results.seconds:
        raise InvalidParameter(f"the warm-up of {warm:g} s must be shorter than the run of {results.seconds:g} s")
    start, end = results.began + warm, results.began + results.seconds
    measured = end - start
    inside = [row for row in rows if start <= row.sent_at < end and row.outcome is not Outcome.CUT]
    good = [row for row in inside if slo is not None and slo.kept(row)]
    retried = [row for row in rows if row.attempt == 1 and row.outcome is not Outcome.CUT]
    return Report(
        arrivals=str(results.arrivals),
        parallel=results.arrivals.parallel if isinstance(results.arrivals, Closed) else None,
        seconds=results.seconds,
        warm_s=warm,
        measured_s=measured,
        requests=len(rows),
        outcomes={kind.value: sum(row.outcome is kind for row in rows) for kind in Outcome},
        requests_per_s=sum(share(row, start, end) for row in rows if row.served) / measured,
        tokens_per_s=sum(tokens(row, start, end) for row in rows) / measured,
        output_tokens_per_s=sum(output_tokens(row, start, end) for row in rows) / measured,
        ttft=spread(row.ttft_s for row in inside if row.served),
        tpot=spread(row.tpot_s for row in inside if row.served),
        latency=spread(row.latency_s for row in inside if row.served),
        goodput=None if slo is None else len(good) / measured,
        kept=len(good) / len(inside) if slo is not None and inside else None,
        retries=sum(row.attempt > 0 for row in rows),
        first_retry_accepted=sum(row.outcome is not Outcome.REFUSED for row in retried) / len(retried)
        if retried
        else None,
        late_s=percentile([row.sent_at - row.due_at for row in rows] or [0.0], 99),
        short=ROUNDS * median > results.seconds,
        timeline=timeline(rows, results.began),
    )


def share(row: Row, start: float, end: float) -> float:
    """The part of the request's time that lies between `start` and `end`."""
    return _overlap(row.sent_at, row.ended_at, start, end)


def output_tokens(row: Row, start: float, end: float) -> float:
    """Tokens of the answer that came between `start` and `end`, spread evenly from the first to the last."""
    if row.first_at is None:
        return 0.0
    return row.tokens_out * _overlap(row.first_at, row.ended_at, start, end)


def tokens(row: Row, start: float, end: float) -> float:
    """Tokens, in and out, that were worked on between `start` and `end`: the prompt until the first token."""
    until = row.ended_at if row.first_at is None else row.first_at
    return row.tokens_in * _overlap(row.sent_at, until, start, end) + output_tokens(row, start, end)


def timeline(rows: Sequence[Row], began: float = 0.0) -> tuple[float, ...]:
    """Tokens of all rows in each second from `began`."""
    seconds = [0.0] * max((int(row.ended_at - began) + 1 for row in rows), default=0)
    for row in rows:
        for second in range(max(0, int(row.sent_at - began)), min(len(seconds), int(row.ended_at - began) + 1)):
            seconds[second] += tokens(row, began + second, began + second + 1)
    return tuple(seconds)


def spread(values: Iterable[float | None]) -> Spread | None:
    """Mean and percentiles of those that are there; None if there are none."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    p50, p90, p99 = (percentile(known, rank) for rank in (50, 90, 99))
    return Spread(statistics.fmean(known), p50, p90, p99)


def percentile(values: Sequence[float], rank: float) -> float:
    """The value that `rank` percent do not exceed, interpolated; `values` are not empty."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * rank / 100
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _overlap(begin: float, finish: float, start: float, end: float) -> float:
    """The part of [begin, finish] inside [start, end]; a moment without length is wholly in or out."""
    if finish <= begin:
        return 1.0 if start <= begin < end else 0.0
    return max(0.0, min(finish, end) - max(begin, start)) / (finish - begin)
