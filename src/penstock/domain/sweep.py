"""How a version is measured in a bounded time, and what a profile is made of: trials, and the sums over them.

A trial keeps some requests of one shape in flight, and counts those that end once all are under way: what it takes to
get there, and what is left at its end, would make requests look dearer than they are. When the model is too slow for
whole reference requests within the budget, trials are shortened in proportion (a scale of 1/2, 1/4, ...) and marked,
and the cost model that is fitted to all trials says what a whole request would have taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from penstock.domain.profile import (
    REFERENCE_TOKENS,
    CostModel,
    Fingerprint,
    Point,
    Profile,
    fit_cost,
    knee,
    pin,
)

GRID = ((2048, 16), (64, 512), (64, 64), (512, 256), (3500, 64), (512, 32), (128, 256), (1024, 128))
"""Shapes beside the reference that the cost model is fitted to, the most telling ones first."""
HELD_OUT = ((128, 512), (4000, 100), (1500, 200), (256, 128), (1024, 32), (3000, 256))
"""Shapes that it is not fitted to: they say how wrong it is."""
ENCODER_GRID = ((256, 0), (32, 0), (128, 0), (64, 0))
ENCODER_HELD_OUT = ((384, 0), (96, 0))
ENCODER_TOKENS = 512
POINT_PARTS = {1: 0.06, 2: 0.1, 4: 0.2, 8: 0.3}
LATER_PART = 0.34
"""How the curve's time is divided among its points: what is sold depends on the later ones."""
CURVE_PART = 0.45
"""The part of the budget that the curve may take; shapes take the rest."""
PLATEAU_GAIN = 1.05
"""Twice the requests must win at least so much, or the curve ends."""
KV_PART = 0.95
"""Of the KV cache may be filled: requests take whole blocks, and each that runs must have one more."""
LEAST_CURVE = 16
"""The curve has so many parallel requests at least, if the engine holds them: its bend takes three points in fours."""
RESIDENCES = 6
"""A trial counts so many times the requests in flight, where time permits."""
SMALLEST_SCALE = 1 / 32
OVERTIME = 1.5
"""A trial or a measurement that takes so much longer than it was given ends with what it has."""


@dataclass(frozen=True, slots=True)
class Trial:
    """`parallel` requests of `tokens_in` and `tokens_out` in flight, until `count` have ended in the steady state.

    After `limit_s` seconds it ends when `least` have.
    """

    parallel: int
    count: int
    tokens_in: int
    tokens_out: int
    limit_s: float = float("inf")

    @property
    def least(self) -> int:
        """The fewest requests that say anything: half of those in flight."""
        return min(self.count, -(-self.parallel // 2))

    def first(self, number: int) -> tuple[int, int]:
        """The shape of a worker's first request, which is not counted: each is longer than the one before.

        So the requests in flight are of all ages when counting begins, as they are in service.
        """
        part = (number + 1) / self.parallel
        out = max(1, round(self.tokens_out * part)) if self.tokens_out else 0
        return max(1, round(self.tokens_in * part)), out


@dataclass(frozen=True, slots=True)
class Result:
    """`count` requests of a trial that ended in `wall_s` seconds, and the medians over them, in seconds."""

    trial: Trial
    count: int
    wall_s: float
    latency_s: float
    ttft_s: float

    @property
    def seconds(self) -> float:
        """Device seconds of one request: the requests share the device evenly."""
        return self.wall_s / self.count

    @property
    def tokens_per_s(self) -> float:
        """Input and output tokens per second of all requests together."""
        return (self.trial.tokens_in + self.trial.tokens_out) / self.seconds


def first(tokens_in: int, tokens_out: int) -> Trial:
    """A short trial that warms the engine up; run twice, the second time tells how slow it is."""
    tokens_in, tokens_out = _scaled((tokens_in, tokens_out), SMALLEST_SCALE)
    return Trial(1, 1, tokens_in, tokens_out)


def point_part(parallel: int) -> float:
    """The part of the curve's time for a point."""
    return POINT_PARTS.get(parallel, LATER_PART)


def most_parallel(shape: tuple[int, int], max_running: int, kv_tokens: int) -> int:
    """How many requests of a shape an engine computes at once, in fours if there are more: none may be preempted.

    `kv_tokens` is what its KV cache holds, 0 being no limit; a part of it is lost to whole blocks.
    """
    fits = int(KV_PART * kv_tokens / sum(shape)) if kv_tokens else max_running
    most = max(min(fits, max_running), 1)
    return most - most % 4 if most > 4 else most  # noqa: PLR2004 - fours


def more(curve: Sequence[Result], most: int) -> int | None:
    """How many parallel requests to measure next, None when the curve has reached its plateau or `most`."""
    if not curve:
        return 1
    last = curve[-1]
    if last.trial.parallel >= most:
        return None
    if last.trial.parallel >= LEAST_CURVE and last.tokens_per_s < PLATEAU_GAIN * curve[-2].tokens_per_s:
        return None
    return min(2 * last.trial.parallel, most)


def next_point(parallel: int, shape: tuple[int, int], before: Result, allowed_s: float) -> Trial:
    """The trial for a point of the curve: as long as `allowed_s` seconds permit, judging by the trial before.

    At worst nothing is won by batching, and a request takes as much of the device as before.
    """
    per_token = before.seconds / (before.trial.tokens_in + before.trial.tokens_out)
    scale = 1.0
    while scale > SMALLEST_SCALE and 1.5 * parallel * scale * sum(shape) * per_token > allowed_s:
        scale /= 2
    tokens_in, tokens_out = _scaled(shape, scale)
    return _trial(parallel, (tokens_in, tokens_out), (tokens_in + tokens_out) * per_token, allowed_s)


def _trial(parallel: int, shape: tuple[int, int], seconds: float, allowed_s: float) -> Trial:
    """As many requests of about `seconds` device seconds as time permits, after a round that is not counted."""
    count = int(allowed_s / max(seconds, 1e-9)) - (parallel if parallel > 1 else 0)
    least = -(-parallel // 2)
    return Trial(parallel, min(max(count, least), RESIDENCES * parallel), *shape, OVERTIME * allowed_s)


@dataclass(frozen=True, slots=True)
class Shapes:
    """What is measured for the cost model, in this order: the grid it is fitted to, then what it is judged by."""

    grid: tuple[tuple[int, int], ...]
    held_out: tuple[tuple[int, int], ...]

    @property
    def all(self) -> tuple[tuple[int, int], ...]:
        """Both."""
        return self.grid + self.held_out


def shapes(shape: tuple[int, int], longest: int, cost: CostModel, parallel: int, allowed_s: float) -> Shapes:
    """The shapes for a version with that reference shape and context, shortened until they fit into `allowed_s`."""
    encoder = not shape[1]
    grid, held_out = (ENCODER_GRID, ENCODER_HELD_OUT) if encoder else (GRID, HELD_OUT)
    scale = sum(shape) / (ENCODER_TOKENS if encoder else REFERENCE_TOKENS)
    while True:
        made = Shapes(
            tuple(dict.fromkeys(_fitted(one, scale, longest) for one in grid)),
            tuple(dict.fromkeys(_fitted(one, scale, longest) for one in held_out)),
        )
        takes = 1.5 * parallel * sum(cost.seconds(*one) for one in made.all)
        if takes <= allowed_s or scale <= SMALLEST_SCALE:
            return made
        scale /= 2


def next_shape(left: Sequence[tuple[int, int]], cost: CostModel, parallel: int, left_s: float) -> Trial:
    """The trial for the first of the shapes that are left: it gets its part of the time, short ones a little more."""
    seconds = [cost.seconds(*one) for one in left]
    part = 0.5 * seconds[0] / sum(seconds) + 0.5 / len(left)
    return _trial(parallel, left[0], seconds[0], max(left_s, 0.0) * part)


def _scaled(shape: tuple[int, int], scale: float) -> tuple[int, int]:
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale)) if shape[1] else 0


def _fitted(shape: tuple[int, int], scale: float, longest: int) -> tuple[int, int]:
    """A shape at that scale, shortened in proportion where the context has no room for it."""
    made = _scaled(shape, scale)
    over = sum(made) / longest
    return made if over <= 1 else (max(1, int(made[0] / over)), max(1, int(made[1] / over)) if made[1] else 0)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What goes into a profile beside the trials: see `Profile`. `prior` is the estimate made before."""

    fingerprint: Fingerprint
    startup_s: float
    memory: int
    measured_at: int
    prior: CostModel


def best_of(curve: Sequence[Result]) -> Result:
    """The trial at the knee, by what was measured."""
    points = [Point(one.trial.parallel, one.tokens_per_s, one.latency_s, one.ttft_s) for one in curve]
    return curve[points.index(knee(points))]


def summarise(
    shape: tuple[int, int],
    curve: Sequence[Result],
    grid: Sequence[Result],
    held_out: Sequence[Result],
    around: Circumstances,
) -> Profile:
    """The profile: the curve in whole reference requests, T at its knee, and the cost model pinned to T."""
    batched = [best_of(curve), *grid]
    longest = max(one.trial.tokens_in + one.trial.tokens_out for one in batched)
    tie = around.prior if 2 * longest < sum(shape) else None
    cost = fit_cost([(one.trial.tokens_in, one.trial.tokens_out, one.seconds) for one in batched], tie=tie)
    points = tuple(_point(one, shape, cost) for one in curve)
    best = knee(points)
    measured = next(one.trial for one in curve if one.trial.parallel == best.parallel)
    profile = Profile(
        fingerprint=around.fingerprint,
        estimated=False,
        throughput=best.tokens_per_s,
        knee=best.parallel,
        curve=points,
        cost=pin(cost, *shape, best.tokens_per_s),
        input_tokens=measured.tokens_in,
        output_tokens=measured.tokens_out,
        startup_s=around.startup_s,
        memory=around.memory,
        measured_at=around.measured_at,
    )
    errors = [_error(profile.cost, one) for one in held_out]
    if not errors:
        return profile
    return replace(profile, held_out_mean=sum(errors) / len(errors), held_out_worst=max(errors))


def _error(cost: CostModel, result: Result) -> float:
    """How far the model is from what was measured, as a part of it."""
    return abs(cost.seconds(result.trial.tokens_in, result.trial.tokens_out) / result.seconds - 1)


def _point(result: Result, shape: tuple[int, int], cost: CostModel) -> Point:
    """A point in tokens per second that whole reference requests would have had in place of shortened ones."""
    trial = result.trial
    if (trial.tokens_in, trial.tokens_out) == shape:
        return Point(trial.parallel, result.tokens_per_s, result.latency_s, result.ttft_s)
    short = cost.seconds(trial.tokens_in, trial.tokens_out)
    ratio = cost.seconds(*shape) / short if short > 0 else sum(shape) / (trial.tokens_in + trial.tokens_out)
    throughput = sum(shape) / (result.seconds * ratio)
    return Point(trial.parallel, throughput, result.latency_s, result.ttft_s, scaled=True)
