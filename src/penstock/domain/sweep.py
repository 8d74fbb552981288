"""How a version is measured in a short time, and what a profile is made of: trials, and the sums over them.

A trial runs some requests of one shape in parallel, several rounds each. When the model is too slow for whole
reference requests within the budget, trials are shortened in proportion (a scale of 1/2, 1/4, ...), and the cost model
that is fitted to all trials says what a whole request would have taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from penstock.domain.profile import CostModel, Fingerprint, Point, Profile, fit_cost, knee, pin

PARALLEL = (1, 2, 4, 8, 16)
POINT_PARTS = (0.08, 0.12, 0.2, 0.3, 0.3)
"""How the curve's time is divided among its points: what is sold depends on the later ones."""
SHAPES_AT = 8
"""The cost model is fitted to requests of several shapes, so many at a time: what a request takes in a full batch."""
SHAPES = ((1.0, 1 / 16), (1 / 16, 1.0), (1 / 2, 1 / 2), (1 / 4, 1 / 8), (1 / 16, 1 / 16))
"""Shapes beside the reference, as parts of its input and output."""
ENCODER_SHAPES = ((1 / 2, 0.0), (1 / 4, 0.0), (1 / 16, 0.0))
CURVE_PART = 0.65
"""The part of the budget that the curve may take; shapes take the rest."""
MOST_ROUNDS = 3
SMALLEST_SCALE = 1 / 32
SLOWER = 2.0
"""A point with twice the requests may take twice as long: the worst case, when nothing is won by batching."""


@dataclass(frozen=True, slots=True)
class Trial:
    """`parallel` workers that send `rounds` requests each, one after another, of `tokens_in` and `tokens_out`."""

    parallel: int
    rounds: int
    tokens_in: int
    tokens_out: int


@dataclass(frozen=True, slots=True)
class Result:
    """A trial with the seconds it took in all, and the medians over its requests, in seconds."""

    trial: Trial
    wall_s: float
    latency_s: float
    ttft_s: float

    @property
    def seconds(self) -> float:
        """Device seconds of one request: the requests share the device evenly."""
        return self.wall_s / (self.trial.parallel * self.trial.rounds)

    @property
    def tokens_per_s(self) -> float:
        """Input and output tokens per second of all requests together."""
        return (self.trial.tokens_in + self.trial.tokens_out) / self.seconds


def first(tokens_in: int, tokens_out: int) -> Trial:
    """A short trial that warms the engine up; run twice, the second time tells how slow it is."""
    return _trial(1, 1, tokens_in, tokens_out, SMALLEST_SCALE)


def next_point(parallel: int, shape: tuple[int, int], before: Result, allowed_s: float) -> Trial:
    """The trial for a point of the curve: as long as `allowed_s` seconds permit, judging by the trial before."""
    tokens_in, tokens_out = shape
    scale = 1.0
    while scale > SMALLEST_SCALE:
        trial = _trial(parallel, 1, tokens_in, tokens_out, scale)
        if _likely_s(trial, before) <= allowed_s:
            break
        scale /= 2
    trial = _trial(parallel, 1, tokens_in, tokens_out, scale)
    rounds = int(allowed_s / max(_likely_s(trial, before), 1e-9))
    return Trial(parallel, min(max(rounds, 1), MOST_ROUNDS), trial.tokens_in, trial.tokens_out)


def shapes(point: Result, *, encoder: bool) -> list[Trial]:
    """Trials of other shapes for the cost model, made from the trial of the curve with the same parallelism."""
    trial = point.trial
    parts = ENCODER_SHAPES if encoder else SHAPES
    made = [
        Trial(
            trial.parallel,
            1,
            max(1, round(trial.tokens_in * i)),
            round(trial.tokens_out * o) if encoder else max(1, round(trial.tokens_out * o)),
        )
        for i, o in parts
    ]
    return list(dict.fromkeys(made))


def _likely_s(trial: Trial, before: Result) -> float:
    """How long the trial will take at worst, in proportion to tokens and requests."""
    tokens = (trial.tokens_in + trial.tokens_out) / (before.trial.tokens_in + before.trial.tokens_out)
    requests = trial.parallel / before.trial.parallel
    return before.wall_s / before.trial.rounds * tokens * requests * trial.rounds


def _trial(parallel: int, rounds: int, tokens_in: int, tokens_out: int, scale: float) -> Trial:
    output = max(1, round(tokens_out * scale)) if tokens_out else 0
    return Trial(parallel, rounds, max(1, round(tokens_in * scale)), output)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What goes into a profile beside the trials: see `Profile`. `prior` is the estimate made before."""

    fingerprint: Fingerprint
    startup_s: float
    memory: int
    measured_at: int
    prior: CostModel


def summarise(
    shape: tuple[int, int], curve: Sequence[Result], others: Sequence[Result], around: Circumstances
) -> Profile:
    """The profile: the curve in whole reference requests, T at its knee, and the cost model pinned to T."""
    batched = [*(one for one in curve if one.trial.parallel == SHAPES_AT), *others] or list(curve)
    longest = max(one.trial.tokens_in + one.trial.tokens_out for one in batched)
    tie = around.prior if 2 * longest < sum(shape) else None
    cost = fit_cost([(one.trial.tokens_in, one.trial.tokens_out, one.seconds) for one in batched], tie=tie)
    points = tuple(Point(one.trial.parallel, _as_whole(one, shape, cost), one.latency_s, one.ttft_s) for one in curve)
    best = knee(points)
    measured = next(one.trial for one in curve if one.trial.parallel == best.parallel)
    return Profile(
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


def _as_whole(result: Result, shape: tuple[int, int], cost: CostModel) -> float:
    """Tokens per second that whole reference requests would have had in place of shortened ones."""
    trial = result.trial
    if (trial.tokens_in, trial.tokens_out) == shape:
        return result.tokens_per_s
    short = cost.seconds(trial.tokens_in, trial.tokens_out)
    ratio = cost.seconds(*shape) / short if short > 0 else sum(shape) / (trial.tokens_in + trial.tokens_out)
    return sum(shape) / (result.seconds * ratio)
