"""What was measured of one version on one device class: the throughput-latency curve, and the cost of a request."""

from collections.abc import Sequence
from dataclasses import dataclass

from penstock.domain.least_squares import nonnegative_least_squares

REFERENCE_INPUT = 2048
REFERENCE_OUTPUT = 256
REFERENCE_TOKENS = REFERENCE_INPUT + REFERENCE_OUTPUT
KNEE_FRACTION = 0.9
USUAL_ERROR = 0.03
"""Of the cost model on a shape that was measured well."""
FIT_ROUNDS = 8
ENOUGH_POINTS = 3
"""Of a curve, to tell its bend from noise."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a measurement holds for; another fingerprint asks for another measurement.

    `version` is "<catalog.schema.model>/<number>", `engine` name and version, `device` the device class.
    """

    version: str
    engine: str
    precision: str
    device: str


@dataclass(frozen=True, slots=True)
class Point:
    """One point of the curve: `parallel` requests at a time gave `tokens_per_s` (input and output together).

    `latency_s` is the median of a whole request; `ttft_s` the median time to first token, 0 for embeddings. `scaled`:
    it was measured with shortened requests; its tokens per second are those of whole ones, its times are not. `short`:
    it was measured for less than three times as long as a request is in flight.
    """

    parallel: int
    tokens_per_s: float
    latency_s: float
    ttft_s: float
    scaled: bool = False
    short: bool = False


@dataclass(frozen=True, slots=True)
class CostModel:
    """Device seconds of a request: `c + a*i + e*i^2 + b*o + d*o*(i + o/2)` for i tokens in and o out.

    `error` is the mean relative error on the shapes it was fitted to.
    """

    c: float
    a: float
    e: float
    b: float
    d: float
    error: float = 0.0

    def seconds(self, tokens_in: float, tokens_out: float) -> float:
        """Device seconds for a request of that shape."""
        # Written out, not by `terms`: the gate asks several times for every request.
        whole = self.c + tokens_in * (self.a + self.e * tokens_in)
        return whole + tokens_out * (self.b + self.d * (tokens_in + tokens_out / 2))

    def seconds_of(self, prompts: int, tokens_in: float, tokens_out: float) -> float:
        """Device seconds for a request of several prompts, alike: no token attends to another prompt's."""
        if prompts == 1:
            return self.seconds(tokens_in, tokens_out)
        return prompts * self.seconds(tokens_in / prompts, tokens_out / prompts)

    @property
    def coefficients(self) -> tuple[float, float, float, float, float]:
        """In the order of `terms`."""
        return (self.c, self.a, self.e, self.b, self.d)


@dataclass(frozen=True, slots=True)
class Profile:
    """A measured, or `estimated`, profile.

    `throughput` is T: tokens per second of the reference workload at the knee of the curve. `input_tokens` and
    `output_tokens` are the shape that was measured: the reference workload, scaled down where the context is shorter.
    `startup_s` is seconds from the wish for a replica until its engine answers, without a build; `memory` bytes the
    process takes. `measured_at` is epoch milliseconds.
    `held_out_mean` and `held_out_worst` are the cost model's relative errors on shapes that it was not fitted to; None
    if time did not permit to measure any. `stale` says why it is to be measured again when the device is idle, empty if
    it holds.
    """

    fingerprint: Fingerprint
    estimated: bool
    throughput: float
    knee: int
    curve: tuple[Point, ...]
    cost: CostModel
    input_tokens: int
    output_tokens: int
    startup_s: float
    memory: int
    measured_at: int
    held_out_mean: float | None = None
    held_out_worst: float | None = None
    stale: str = ""

    @property
    def scaled(self) -> bool:
        """Whether T comes from shortened requests: the budget did not suffice for whole ones."""
        return any(point.scaled for point in self.curve if point.parallel == self.knee)


def terms(tokens_in: float, tokens_out: float) -> tuple[float, float, float, float, float]:
    """The five terms that a request's cost is linear in."""
    i, o = tokens_in, tokens_out
    return (1.0, i, i * i, o, o * (i + o / 2))


def knee(curve: Sequence[Point]) -> Point:
    """The point with the fewest parallel requests, in fours, that reaches 90 % of the plateau.

    The plateau is the end of a smooth curve through the points, and points are judged by that curve too: a single
    measurement is too unsure for it. A curve with less than three points at multiples of four (a short measurement) is
    judged by all its points. `curve` is not empty.
    """
    fours = [point for point in curve if point.parallel % 4 == 0] or list(curve)
    alone, shared = _smooth(fours if len(fours) >= ENOUGH_POINTS else curve)
    last = max(fours, key=lambda point: point.parallel)
    most = (alone + shared / last.parallel) / KNEE_FRACTION
    return min((point for point in fours if alone + shared / point.parallel <= most), key=lambda point: point.parallel)


def _smooth(curve: Sequence[Point]) -> tuple[float, float]:
    """1/throughput = alone + shared/parallel, by relative least squares, neither negative: work, and steps shared."""
    rows = [(point.tokens_per_s, point.tokens_per_s / point.parallel) for point in curve]
    xx, xy, yy = (sum(row[j] * row[k] for row in rows) for j, k in ((0, 0), (0, 1), (1, 1)))
    x, y = sum(row[0] for row in rows), sum(row[1] for row in rows)
    whole = xx * yy - xy * xy
    if whole <= 0 or (shared := (xx * y - xy * x) / whole) <= 0:
        return x / xx, 0.0
    alone = (yy * x - xy * y) / whole
    return (alone, shared) if alone > 0 else (0.0, y / yy)


def reference_shape(context_length: int, *, encoder: bool) -> tuple[int, int]:
    """The (input, output) tokens to measure with: 2048/256, scaled down in the same ratio to fit a short context.

    Encoders have input only, at most 512 tokens.
    """
    if encoder:
        return min(context_length, 512), 0
    if context_length >= REFERENCE_TOKENS:
        return REFERENCE_INPUT, REFERENCE_OUTPUT
    output = max(1, context_length // 9)
    return max(1, context_length - output), output


def fit_cost(samples: Sequence[tuple[Sequence[float], float]], *, tie: CostModel | None = None) -> CostModel:
    """Fits the cost model to (sums of `terms`, seconds) by relative least squares, coefficients not negative.

    Samples that lie far off count less: a machine that was busy for some seconds must not bend the rest. With `tie`,
    the context terms keep their proportion to the others in that model, and three unknowns are left: short requests do
    not tell them apart.
    """
    ratio_e = tie.e / tie.a if tie is not None and tie.a else 0.0
    ratio_d = tie.d / tie.b if tie is not None and tie.b else 0.0
    rows = []
    for (one, in_, in2, out, context), seconds in samples:
        row = (one, in_ + ratio_e * in2, 0.0, out + ratio_d * context, 0.0) if tie else (one, in_, in2, out, context)
        rows.append([value / seconds for value in row])
    weights = [1.0] * len(rows)
    for _ in range(FIT_ROUNDS):
        found = nonnegative_least_squares(rows, weights)
        off = [abs(sum(x * y for x, y in zip(found, row, strict=True)) - 1) for row in rows]
        weights = [min(1.0, USUAL_ERROR / max(one, 1e-9)) for one in off]
    c, a, e, b, d = found
    e, d = (e, d) if tie is None else (ratio_e * a, ratio_d * b)
    return CostModel(c, a, e, b, d, sum(off) / len(off) if off else 0.0)


def pin(model: CostModel, tokens_in: int, tokens_out: int, throughput: float) -> CostModel:
    """The model scaled so that a request of the given shape costs exactly `(in + out) / throughput` seconds."""
    now = model.seconds(tokens_in, tokens_out)
    factor = (tokens_in + tokens_out) / throughput / now if now > 0 else 1.0
    c, a, e, b, d = (value * factor for value in model.coefficients)
    return CostModel(c, a, e, b, d, model.error)
