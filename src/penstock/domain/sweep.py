"""How a version is measured in a bounded time: trials, what comes next, and when it is enough.

A trial keeps some requests of one shape in flight and counts what the engine does once all are under way, to the token
(`penstock.domain.effort`). The curve is measured with whole reference requests, where time permits. The shapes of the
cost model are measured with as many in flight as the gate would admit: so many that together they take as much of the
batch as the reference requests at the knee. When the model is too slow for whole requests within the budget, trials are
shortened in proportion (a scale of 1/2, 1/4, ...) and marked.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from penstock.domain.effort import Course, Effort, edges, effort
from penstock.domain.profile import REFERENCE_TOKENS, CostModel

GRID = ((2048, 16), (64, 512), (64, 64), (3500, 64), (512, 256), (512, 32), (128, 256), (1024, 128))
"""Shapes beside the reference that the cost model is fitted to, the most telling ones first."""
HELD_OUT = ((128, 512), (4000, 100), (1500, 200), (256, 128), (1024, 32), (3000, 256))
"""Shapes that it is not fitted to: they say how wrong it is."""
ENCODER_GRID = ((256, 0), (32, 0), (128, 0), (64, 0))
ENCODER_HELD_OUT = ((384, 0), (96, 0))
ENCODER_TOKENS = 512
POINT_PARTS = {1: 0.11, 2: 0.12, 4: 0.15, 8: 0.24}
LATER_PART = 0.38
"""How the curve's time is divided among its points: what is sold depends on the later ones."""
CURVE_PART = 0.32
"""The part of the budget that the curve may take up to 16 requests; shapes and repetitions take the rest."""
SHAPES_PART = 0.38
"""The part in which every shape is to be measured once."""
ANCHOR_PART = 0.15
"""The part for whole requests where the curve has shortened ones."""
PLATEAU_GAIN = 1.05
"""Twice the requests must win at least so much, or the curve ends."""
KV_PART = 0.95
"""Of the KV cache may be filled: requests take whole blocks, and each that runs must have one more."""
LEAST_CURVE = 16
"""The curve has so many parallel requests at least, if the engine holds them: its bend takes three points in fours."""
WHOLE_RESIDENCES = 3
"""A trial that counts less than so many residence times of a request is short, and says so."""
SMALLEST_SCALE = 1 / 32
OVERTIME = 1.3
"""Rather than shorten shapes, once each may take so much longer: less is repeated then."""
MOST_TRIALS = 3
"""A shape or a point of the curve is measured so often at most."""


@dataclass(frozen=True, slots=True)
class Trial:
    """`parallel` requests of `tokens_in` and `tokens_out` in flight, for about `seconds` from beginning to end.

    `steady`: also the first requests have whole prompts, so that contexts are as long as in service from the beginning.
    """

    parallel: int
    tokens_in: int
    tokens_out: int
    seconds: float = 0.0
    steady: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Tokens in and out."""
        return self.tokens_in, self.tokens_out

    @property
    def least(self) -> int:
        """The fewest prompts that say anything."""
        return _least(self.parallel)

    def first(self, number: int) -> tuple[int, int]:
        """The shape of a worker's first request: each is longer than the one before.

        So the requests in flight are of all ages when counting begins, as they are in service.
        """
        part = (number + 1) / self.parallel
        out = max(1, round(self.tokens_out * part)) if self.tokens_out else 0
        return self.tokens_in if self.steady else max(1, round(self.tokens_in * part)), out


@dataclass(frozen=True, slots=True)
class Result:
    """What was done in `wall_s` seconds of a trial, and the median time to first token meanwhile."""

    trial: Trial
    effort: Effort
    wall_s: float
    ttft_s: float

    def seconds(self, cost: CostModel) -> float:
        """Device seconds of one request of the trial's shape, if a cost model knows what its parts are worth."""
        return self.wall_s * cost.seconds(*self.trial.shape) / self.effort.seconds(cost)


def window(trial: Trial, courses: Sequence[Course], since: float, now: float) -> tuple[float, float] | None:
    """The part of a trial, begun at `since`, that is counted; None while it must go on.

    It begins when all workers' first requests have a token, and holds `Trial.least` prompts at least.
    """
    if now - since < trial.seconds:
        return None
    firsts = [one.first_s for one in courses[: trial.parallel]]
    if len(firsts) < trial.parallel or any(one is None for one in firsts):
        return None
    found = edges(courses, max(one for one in firsts if one is not None))
    if len(found) < 2:  # noqa: PLR2004 - both ends
        return None
    counted = sum(1 for one in courses if one.first_s is not None and found[0] < one.first_s <= found[-1])
    return (found[0], found[-1]) if counted >= trial.least else None


def result(trial: Trial, courses: Sequence[Course], begin: float, end: float) -> Result:
    """What a window of a trial says; `courses` in the order in which they were sent."""
    seen = sorted(one.first_s - one.sent_s for one in courses if one.first_s is not None and begin < one.first_s <= end)
    return Result(trial, effort(courses, begin, end), end - begin, seen[len(seen) // 2])


def first(tokens_in: int, tokens_out: int) -> Trial:
    """A short trial that warms the engine up; run twice, the second time tells how slow it is."""
    return Trial(1, *_scaled((tokens_in, tokens_out), SMALLEST_SCALE))


def most_parallel(shape: tuple[int, int], max_running: int, kv_tokens: int) -> int:
    """How many requests of a shape an engine computes at once, in fours if there are more: none may be preempted.

    `kv_tokens` is what its KV cache holds, 0 being no limit; a part of it is lost to whole blocks.
    """
    fits = int(KV_PART * kv_tokens / sum(shape)) if kv_tokens else max_running
    most = max(min(fits, max_running), 1)
    return most - most % 4 if most > 4 else most  # noqa: PLR2004 - fours


def more(points: Sequence[tuple[int, float]], most: int) -> int | None:
    """How many parallel requests to measure next, None when the curve has reached its plateau or `most`.

    `points` are parallel requests and tokens per second.
    """
    if not points:
        return 1
    parallel, rate = points[-1]
    if parallel >= most or (parallel >= LEAST_CURVE and rate < PLATEAU_GAIN * points[-2][1]):
        return None
    return min(2 * parallel, most)


def point_s(parallel: int, budget_s: float) -> float:
    """Seconds for a point of the curve."""
    return CURVE_PART * budget_s * POINT_PARTS.get(parallel, LATER_PART)


def next_point(parallel: int, shape: tuple[int, int], before: Result, cost: CostModel, allowed_s: float) -> Trial:
    """The trial for a point of the curve: with requests as long as `allowed_s` seconds permit.

    It judges by the trial before: at worst nothing is won by batching, and a request takes as much as there.
    """
    slower = before.wall_s / before.effort.seconds(cost)
    scale = 1.0
    while scale > SMALLEST_SCALE and slower * takes(parallel, _scaled(shape, scale), cost, first=1.0) > allowed_s:
        scale /= 2
    return Trial(parallel, *_scaled(shape, scale), allowed_s, steady=True)


def takes(parallel: int, shape: tuple[int, int], cost: CostModel, first: float = 0.5) -> float:
    """About how many seconds the shortest trial takes: until all are under way, then the least number of requests.

    `first` is how long the first prompts are, as a part of whole ones.
    """
    return first * parallel * cost.seconds(shape[0], 0) + _least(parallel) * cost.seconds(*shape)


@dataclass(frozen=True, slots=True)
class Shapes:
    """What is measured for the cost model, in this order: the grid it is fitted to, then what it is judged by."""

    grid: tuple[tuple[int, int], ...]
    held_out: tuple[tuple[int, int], ...]

    @property
    def all(self) -> tuple[tuple[int, int], ...]:
        """Both."""
        return self.grid + self.held_out


def shapes(
    shape: tuple[int, int],
    longest: int,
    cost: CostModel,
    in_flight: Callable[[tuple[int, int]], int],
    allowed_s: float,
) -> Shapes:
    """The shapes for a version with that reference shape and context, shortened until they fit into `allowed_s`."""
    encoder = not shape[1]
    grid, held_out = (ENCODER_GRID, ENCODER_HELD_OUT) if encoder else (GRID, HELD_OUT)
    scale = sum(shape) / (ENCODER_TOKENS if encoder else REFERENCE_TOKENS)
    while True:
        made = Shapes(
            tuple(dict.fromkeys(_fitted(one, scale, longest) for one in grid)),
            tuple(dict.fromkeys(_fitted(one, scale, longest) for one in held_out)),
        )
        if sum(takes(in_flight(one), one, cost) for one in made.all) <= OVERTIME * allowed_s or scale <= SMALLEST_SCALE:
            return made
        scale /= 2


def anchor(shape: tuple[int, int], cost: CostModel, budget_s: float) -> Trial | None:
    """A trial with few whole reference requests in flight, if there is time for one."""
    allowed_s = ANCHOR_PART * budget_s
    fit = [parallel for parallel in (4, 2, 1) if takes(parallel, shape, cost) <= allowed_s]
    return Trial(fit[0], *shape, min(2 * takes(fit[0], shape, cost), allowed_s)) if fit else None


def shape_s(left: Sequence[tuple[int, int]], cost: CostModel, left_s: float) -> float:
    """Seconds for the first of the shapes that are left: its part of the time, short ones a little more."""
    seconds = [cost.seconds(*one) for one in left]
    return max(left_s, 0.0) * (0.5 * seconds[0] / sum(seconds) + 0.5 / len(left))


def _least(parallel: int) -> int:
    return max(parallel // 8, 1)


def _scaled(shape: tuple[int, int], scale: float) -> tuple[int, int]:
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale)) if shape[1] else 0


def _fitted(shape: tuple[int, int], scale: float, longest: int) -> tuple[int, int]:
    """A shape at that scale, shortened in proportion where the context has no room for it."""
    made = _scaled(shape, scale)
    over = sum(made) / longest
    return made if over <= 1 else (max(1, int(made[0] / over)), max(1, int(made[1] / over)) if made[1] else 0)
