"""What to buy for a trace: the smallest band whose simulation keeps a target, and what it costs."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from penstock.domain.errors import InvalidParameter
from penstock.domain.simulated_market import Band, Moment, Run

HOUR_S = 3600.0
ORACLE_S = 60.0
"""A perfect autoscaler knows the demand of each minute, and allots just that."""


@dataclass(frozen=True, slots=True)
class Target:
    """Time to first token, 99th percentile in seconds, and the part of requests that must be served."""

    ttft_p99_s: float
    served: float

    def __post_init__(self) -> None:
        if not self.ttft_p99_s > 0:
            raise InvalidParameter(f"the target of time to first token must be positive, but is {self.ttft_p99_s}")
        if not 0 < self.served <= 1:
            raise InvalidParameter(f"the part to serve must be above 0 and at most 1, but is {self.served}")


@dataclass(frozen=True, slots=True)
class Cost:
    """Chunk-hours.

    `billed` by the most that was allotted in each hour begun, `allotted` as time passed, `oracle` what a perfect
    autoscaler would have allotted, minute by minute.
    """

    billed: float
    allotted: float
    oracle: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """A band that was tried. Times are seconds, infinite where nothing was served; `cost` is for the whole trace."""

    band: Band
    run: Run
    ttft_p50_s: float
    ttft_p99_s: float
    served: float
    cost: Cost

    def keeps(self, target: Target) -> bool:
        """Whether the target is kept."""
        return self.served >= target.served and self.ttft_p99_s <= target.ttft_p99_s


def appraise(band: Band, run: Run, chunk: float) -> Candidate:
    """The figures of a simulation."""
    times = sorted(answer.ttft_s for answer in run.answers if answer.ttft_s >= 0)
    cost = Cost(_billed(run), _allotted(run), _oracle(run, chunk))
    return Candidate(band, run, percentile(times, 0.5), percentile(times, 0.99), len(times) / len(run.answers), cost)


def percentile(ordered: Sequence[float], part: float) -> float:
    """The smallest value that `part` of the ordered values do not exceed; infinite if there are none."""
    return ordered[max(math.ceil(part * len(ordered)) - 1, 0)] if ordered else math.inf


def cheapest(simulate: Callable[[Band], Candidate], target: Target, most: int) -> tuple[Candidate, bool]:
    """The smallest maximum, and for it the smallest minimum, that keep the target; or the largest band and False.

    First bands without room are searched, min = max, by halving, for a larger one is never worse; then the minimum is
    lowered in the same way. Every band is simulated once at the most.
    """
    best = simulate(Band(most, most))
    if not best.keeps(target):
        return best, False
    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        tried = simulate(Band(middle, middle))
        if tried.keeps(target):
            best, high = tried, middle
        else:
            low = middle + 1
    maximum = high
    low = 0
    while low < high:
        middle = (low + high) // 2
        tried = simulate(Band(middle, maximum))
        if tried.keeps(target):
            best, high = tried, middle
        else:
            low = middle + 1
    return best, True


def _spans(run: Run) -> list[tuple[float, float, Moment]]:
    """From when until when each allotment held."""
    starts = [min(moment.at, run.seconds) for moment in run.moments]
    return list(zip(starts, [*starts[1:], run.seconds], run.moments, strict=True))


def _allotted(run: Run) -> float:
    return sum((end - start) * moment.chunks for start, end, moment in _spans(run)) / HOUR_S


def _billed(run: Run) -> float:
    total = 0
    for hour in range(max(math.ceil(run.seconds / HOUR_S), 1)):
        begin, end = hour * HOUR_S, (hour + 1) * HOUR_S
        total += max(moment.chunks for start, until, moment in _spans(run) if start < end and until >= begin)
    return float(total)


def _oracle(run: Run, chunk: float) -> float:
    total = 0.0
    for minute in range(math.ceil(len(run.offered) / ORACLE_S)):
        part = run.offered[int(minute * ORACLE_S) : int((minute + 1) * ORACLE_S)]
        total += math.ceil(sum(part) / len(part) / chunk) * len(part)
    return total / HOUR_S
