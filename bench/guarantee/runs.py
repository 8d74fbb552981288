"""One run of a scenario against a real server, and the figures of it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from guarantee.scenario import Scenario, Side
from guarantee.windows import least_attained, served_of_offered
from guarantee.work import Curve, Scale, curve
from penstock.load.arrivals import Gaps, Replay, poisson
from penstock.load.prompts import Ids
from penstock.load.row import Outcome, Row
from penstock.load.runner import run
from penstock.load.target import Target
from penstock.load.workload import Workload

VOCABULARY = 8000
DRAIN_S = 12.0


@dataclass(frozen=True, slots=True)
class Tenant:
    """Where a tenant's requests go, what it bought in tokens/s, and what they cost."""

    target: Target
    bought: float
    scale: Scale


@dataclass(frozen=True, slots=True)
class Run:
    """Both sides' rows, with the seconds of the run that count."""

    own: Sequence[Row]
    other: Sequence[Row]
    start: float
    end: float


async def drive(scenario: Scenario, own: Tenant, other: Tenant | None, seconds: float, skip_s: float) -> Run:
    """Puts both loads on at once; the first `skip_s` seconds do not count. Without `other`, the own side is alone."""
    origin = asyncio.get_running_loop().time() + 0.5
    loads = [_load(scenario.own, own, seconds, origin, 1)]
    if other is not None:
        loads.append(_load(scenario.other, other, seconds, origin, 2))
    found = await asyncio.gather(*loads)
    return Run(found[0], found[1] if other is not None else (), skip_s, seconds)


async def _load(side: Side, tenant: Tenant, seconds: float, origin: float, seed: int) -> Sequence[Row]:
    rate = side.load * tenant.bought / tenant.scale.tokens(side.ask.tokens_in, side.ask.tokens_out)
    gaps = poisson(rate, seed) if side.cv == 1 else Gaps(rate, side.cv, seed)
    times = tuple(_times(gaps, seconds, side.quiet))
    prompts = Ids(2, VOCABULARY)
    results = await run(
        tenant.target, Workload((side.ask,)), Replay(times), seconds, prompts=prompts, drain_s=DRAIN_S, origin=origin
    )
    return results.rows


def _times(gaps: Gaps, seconds: float, quiet: tuple[float, float]) -> list[float]:
    found = []
    for at in gaps.times():
        if at >= seconds:
            return found
        if not quiet[0] * seconds <= at < quiet[1] * seconds:
            found.append(at)
    return found


def own_curve(found: Run, tenant: Tenant) -> Curve:
    """What the well-behaved side offered and got."""
    return curve(found.own, tenant.scale, found.start, found.end)


def attained(found: Run, tenant: Tenant, window_s: float) -> float:
    """The least attained / bought over windows of that length."""
    return least_attained(own_curve(found, tenant), tenant.bought, window_s)


def served(found: Run, tenant: Tenant) -> float:
    """Served / offered of the well-behaved side, over the part of the run that counts, refusals included."""
    lost = sum(tenant.scale.offered(row) for row in found.own if row.outcome in {Outcome.REFUSED, Outcome.FAILED})
    return served_of_offered(own_curve(found, tenant), lost)


def ttft(found: Run) -> list[float]:
    """Times to first token of the well-behaved side, sorted; what was refused or cut before it has none."""
    values = [row.ttft_s for row in found.own if row.sent_at >= found.start and row.ttft_s is not None]
    return sorted(values)


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which so large a part lies."""
    return values[min(int(part * len(values)), len(values) - 1)] if values else float("nan")


def refusals(found: Run) -> int:
    """Requests of the well-behaved side that were refused or failed."""
    return sum(row.outcome in {Outcome.REFUSED, Outcome.FAILED} for row in found.own)


def work(found: Run, own: Tenant, other: Tenant) -> float:
    """All reference tokens per second, as parts of T."""
    seconds = found.end - found.start
    got = 0.0
    for rows, tenant in ((found.own, own), (found.other, other)):
        line = curve(rows, tenant.scale, found.start, found.end)
        got += float(line.done[-1] - line.done[0]) / tenant.scale.throughput
    return got / seconds
