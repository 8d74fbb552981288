"""The promise, window by window: the least that was attained over all sliding windows of one length."""

import math
from collections.abc import Sequence

import numpy as np

from guarantee.work import STEP_S, Curve, Floats, Scale
from penstock.load.row import Outcome, Row

LEAST_DEMAND = 0.3
"""A window in which the promised rate would have been used for less than this part of the time says nothing."""


def least_attained(curve: Curve, promised: float, window_s: float) -> float:
    """The least over all windows of done / promised, for a tenant that offers more than it bought throughout."""
    done = _windows(curve.done, curve.at, window_s)
    return _least(done / (promised * window_s))


def least_of_demand(curve: Curve, promised: float, window_s: float, lag_s: float = 0.0) -> float:
    """The least over all windows of done / what a machine of its own, with the promised rate, would have done.

    That machine begins each window with the work that really waited then. What arrived in the last `lag_s` seconds
    of a window is not expected to be done in it: a residence time. Windows with hardly any demand do not count; nan if
    none has more.
    """
    steps = _steps(curve.at, window_s)
    lag = min(round(lag_s / _step(curve.at)), steps)
    allowance = promised * _step(curve.at) * np.arange(steps + 1)
    ratios = []
    for begin in range(len(curve.at) - steps):
        waiting = curve.offered[begin : begin + steps + 1] - curve.done[begin]
        if lag:
            waiting[steps - lag + 1 :] = waiting[steps - lag]
        # a fluid queue: done by the end is the least, over all moments, of the work until then and full speed after
        ideal = min(allowance[-1], float(np.min(waiting + allowance[::-1])))
        if ideal >= LEAST_DEMAND * allowance[-1]:
            ratios.append((curve.done[begin + steps] - curve.done[begin]) / ideal)
    return min(ratios, default=math.nan)


def least_of_alone(curve: Curve, alone: Curve, promised: float, window_s: float) -> float:
    """The least over all windows of done / min(promised, what the same load got with the device to itself)."""
    length = min(len(curve.at), len(alone.at))
    done = _windows(curve.done[:length], curve.at[:length], window_s)
    free = _windows(alone.done[:length], alone.at[:length], window_s)
    expected = np.minimum(free, promised * window_s)
    busy = expected > 0
    return _least(done[busy] / expected[busy])


def served_of_offered(curve: Curve, refused: float = 0.0) -> float:
    """Done / offered from the first to the last moment; `refused` are reference tokens turned away meanwhile."""
    offered = curve.offered[-1] - curve.offered[0] + refused
    return float((curve.done[-1] - curve.done[0]) / offered) if offered > 0 else math.nan


def wrongly_refused(rows: Sequence[Row], scale: Scale, promised: float, residence_s: float) -> int:
    """Requests that were refused though they were within what was promised, by what they really cost.

    Reckoned apart from the gate: a bucket that fills with `promised` tokens/s and holds half a residence time, three
    mean requests at least, as the promise says; it begins with one request.
    """
    costs = [scale.offered(row) for row in rows if not row.attempt]
    if not costs:
        return 0
    depth = max(promised * residence_s / 2, 3 * sum(costs) / len(costs))
    level, filled_at, wrong = costs[0], rows[0].sent_at, 0
    for row in rows:
        cost = scale.tokens(row.asked_in, row.asked_out) if row.attempt else scale.offered(row)
        level = min(depth, level + promised * (row.sent_at - filled_at))
        filled_at = row.sent_at
        within = level >= min(cost, depth)
        if within and row.outcome is Outcome.REFUSED:
            wrong += 1
        elif within:
            level -= cost
    return wrong


def jain(shares: list[float]) -> float:
    """Jain's index of what each got per unit of weight: 1 when all are alike, 1/n when one has everything."""
    total, squares = sum(shares), sum(share * share for share in shares)
    return total * total / (len(shares) * squares) if squares else math.nan


def jain_excess(curves: list[Curve], promised: list[float]) -> float:
    """Jain's index of what each tenant got beyond its promise, per token/s promised; less than promised counts as 0."""
    excess = []
    for curve, rate in zip(curves, promised, strict=True):
        seconds = float(curve.at[-1] - curve.at[0])
        got = float(curve.done[-1] - curve.done[0]) / seconds
        excess.append(max(0.0, got - rate) / rate)
    return jain(excess)


def series(curve: Curve, promised: float, window_s: float, every_s: float = 1.0) -> tuple[list[float], list[float]]:
    """For pictures: the ends of windows, and done / promised in each."""
    done = _windows(curve.done, curve.at, window_s) / (promised * window_s)
    ends = curve.at[len(curve.at) - len(done) :]
    skip = max(1, round(every_s / _step(curve.at)))
    return [float(value) for value in ends[::skip]], [float(value) for value in done[::skip]]


def _windows(values: Floats, at: Floats, window_s: float) -> Floats:
    steps = _steps(at, window_s)
    return values[steps:] - values[: max(len(values) - steps, 0)]


def _steps(at: Floats, window_s: float) -> int:
    return round(window_s / _step(at))


def _step(at: Floats) -> float:
    return float(at[1] - at[0]) if len(at) > 1 else STEP_S


def _least(values: Floats) -> float:
    return float(values.min()) if len(values) else math.nan
