"""What the trials of a measurement say so far: the knee, the cost model, what to repeat, and the profile in the end.

Other load on a machine only ever makes a trial slower. So of several trials of a shape the fastest counts, and those
that fit the others least are repeated first, whether the cost model is fitted to them or judged by them. What is sold
depends on the curve: of three trials of a point the median counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from penstock.domain.profile import CostModel, Fingerprint, Point, Profile, fit_cost, knee, pin
from penstock.domain.sweep import MOST_TRIALS, WHOLE_RESIDENCES, Result, Shapes, more, most_parallel
from penstock.domain.tenancy import Terms, fixed_step_s

REPEAT = 0.98
"""A point of the curve is measured again if it is so much below one with fewer requests in flight."""
FEW = 8
"""In flight at most of a shape where time does not suffice for whole requests."""
DISTURBED = 0.2
"""What is off by so much was disturbed."""
NEAR = 1.25
"""A shape's number in flight may differ by so much from what it ought to be."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What goes into a profile beside the trials: see `Profile`."""

    fingerprint: Fingerprint
    startup_s: float
    memory: int
    measured_at: int


@dataclass(slots=True)
class Findings:
    """Trials so far: `curve` with the reference `shape` (or a shortened one), `others` with the `shapes`.

    `anchor` is a trial with whole reference requests, where the curve has shortened ones: how much longer contexts cost
    cannot be told from short ones. `prior` is the cost as estimated before; the engine runs `max_running` requests at
    once, in `kv_tokens` of cache.
    """

    shape: tuple[int, int]
    prior: CostModel
    max_running: int
    kv_tokens: int = 0
    shapes: Shapes = field(default_factory=lambda: Shapes((), ()))
    curve: list[Result] = field(default_factory=list)
    others: list[Result] = field(default_factory=list)
    anchor: Result | None = None

    @property
    def knee(self) -> int:
        """The parallel requests at the knee."""
        # By the estimated cost: only parts of requests depend on it, and it stays the same.
        return knee(self._points(self.prior)).parallel

    def next_parallel(self) -> int | None:
        """The next point of the curve; None at its end."""
        most = most_parallel(self.shape, self.max_running, self.kv_tokens)
        return more([(one.parallel, one.tokens_per_s) for one in self._points(self.prior)], most)

    def doubtful_point(self) -> int | None:
        """A point of the curve that cannot be: with more requests in flight, less was done. Each is told once."""
        points = self._points(self.prior)
        best = max(points, key=lambda one: one.tokens_per_s)
        shape = self._typical(best.parallel).trial.shape
        for one in points:
            tried = [other for other in self.curve if other.trial.parallel == one.parallel]
            less = one.parallel > best.parallel and one.tokens_per_s < REPEAT * best.tokens_per_s
            if less and len(tried) == 1 and tried[0].trial.shape == shape:
                return one.parallel
        return None

    def in_flight(self, shape: tuple[int, int]) -> int:
        """How many requests of a shape the gate would admit: together they are the knee's, in reference sequences."""
        return self._in_flight(shape, self.draft())

    def draft(self) -> Profile:
        """The profile so far, without its circumstances and errors; with the estimated cost if shapes are too few."""
        best = self.knee
        fitted = self._fit(best)
        points = self._points(fitted)
        throughput = next(one.tokens_per_s for one in points if one.parallel == best)
        measured = next(one.trial for one in self.curve if one.trial.parallel == best)
        return Profile(
            fingerprint=Fingerprint("", "", "", ""),
            estimated=False,
            throughput=throughput,
            knee=best,
            curve=points,
            cost=pin(fitted, *self.shape, throughput),
            input_tokens=measured.tokens_in,
            output_tokens=measured.tokens_out,
            startup_s=0.0,
            memory=0,
            measured_at=0,
        )

    def profile(self, around: Circumstances) -> Profile:
        """The profile: the curve in whole reference requests, T at its knee, and the cost model pinned to T."""
        draft = self.draft()
        errors = [_error(draft.cost, one) for one in self._bests(self.shapes.held_out, draft.cost)]
        return replace(
            draft,
            fingerprint=around.fingerprint,
            startup_s=around.startup_s,
            memory=around.memory,
            measured_at=around.measured_at,
            held_out_mean=sum(errors) / len(errors) if errors else None,
            held_out_worst=max(errors, default=None),
        )

    def doubtful(self, doubt: float = 0.0) -> tuple[int, int] | None:
        """The shape to measure once more: one that had too many or few in flight, or fits the others least.

        None if all are off by less than `doubt`, or were measured often enough.
        """
        draft = self.draft()
        doubts = {}
        for shape in self.shapes.all:
            tried = [one for one in self.others if one.trial.shape == shape]
            if tried and len(tried) < MOST_TRIALS:
                off = max(_ratio(one.trial.parallel, self._in_flight(shape, draft)) for one in tried[-1:])
                best = min(tried, key=lambda one: one.seconds(draft.cost))
                doubts[shape] = _error(draft.cost, best) + (off if off > NEAR else 0.0)
        worst = max(doubts, key=lambda shape: doubts[shape], default=None)
        return worst if worst is not None and doubts[worst] >= doubt else None

    def _fit(self, parallel: int) -> CostModel:
        """The cost model of the grid and of the reference at the knee; the estimate while too few are measured."""
        batched = [self._typical(parallel), *self._bests(self.shapes.grid, self.prior)]
        batched += [self.anchor] if self.anchor else []
        longest = max(sum(one.trial.shape) for one in batched)
        tie = self.prior if 2 * longest < sum(self.shape) else None
        unknown = 3 if tie is not None or not self.shape[1] else 5
        if len(batched) < unknown:
            return self.prior
        fitted = fit_cost([(one.effort.terms, one.wall_s) for one in batched], tie=tie)
        return fitted if fitted.seconds(*self.shape) > 0 else self.prior

    def _typical(self, parallel: int) -> Result:
        """Of the trials of a point the median, the faster one of two."""
        trials = [one for one in self.curve if one.trial.parallel == parallel]
        return sorted(trials, key=lambda one: one.seconds(self.prior))[(len(trials) - 1) // 2]

    def _bests(self, chosen: Sequence[tuple[int, int]], cost: CostModel) -> list[Result]:
        """For each shape its fastest trial, of those with as many in flight as the last one, which knew best."""
        found = []
        for shape in chosen:
            tried = [one for one in self.others if one.trial.shape == shape]
            alike = [one for one in tried if _ratio(one.trial.parallel, tried[-1].trial.parallel) <= NEAR]
            if alike:
                found.append(min(alike, key=lambda one: one.seconds(cost)))
        return found

    def _in_flight(self, shape: tuple[int, int], draft: Profile) -> int:
        wanted = round(draft.knee / _terms(draft).slot(*shape))
        if draft.scaled:
            # There is no time to begin many.
            wanted = min(wanted, FEW)
        return max(min(wanted, most_parallel(shape, self.max_running, self.kv_tokens)), 1)

    def _points(self, cost: CostModel) -> tuple[Point, ...]:
        """The curve in tokens per second of whole reference requests."""
        return tuple(self._point(n, cost) for n in dict.fromkeys(one.trial.parallel for one in self.curve))

    def _point(self, parallel: int, cost: CostModel) -> Point:
        found = self._typical(parallel)
        seconds = found.seconds(cost)
        whole = seconds * cost.seconds(*self.shape) / cost.seconds(*found.trial.shape)
        # In a closed loop so many are always in flight.
        latency_s = parallel * seconds
        counted_s = sum(one.wall_s for one in self.curve if one.trial.parallel == parallel)
        return Point(
            parallel,
            sum(self.shape) / whole,
            latency_s,
            found.ttft_s,
            scaled=found.trial.shape != self.shape,
            short=counted_s < WHOLE_RESIDENCES * latency_s,
        )


def _terms(draft: Profile) -> Terms:
    """The terms on which the gate would admit requests."""
    return Terms(
        draft.throughput,
        draft.knee,
        draft.cost,
        fixed_step_s(draft),
        tokens_in=draft.input_tokens,
        tokens_out=draft.output_tokens,
    )


def _ratio(one: int, other: int) -> float:
    return max(one, other) / min(one, other)


def _error(cost: CostModel, result: Result) -> float:
    """How far the model is from what was measured, as a part of it."""
    return abs(result.effort.seconds(cost) / result.wall_s - 1)
