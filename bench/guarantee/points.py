"""What is measured, point by point; each part can be run alone, by its name."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from guarantee.engine import Moment
from guarantee.market import Way, two
from guarantee.planner import batch, planner
from guarantee.runs import Part, Run, first_retries, rank, ttft, work
from guarantee.scenario import MANY, NEIGHBOUR, OTHERS, OWN, PART, TWO_MODELS, Scenario, Side
from guarantee.trial import Trial, full_figures, halves, pair, part_figures
from guarantee.windows import jain_excess
from penstock.load.row import Row
from penstock.load.runner import Retry
from penstock.load.workload import REFERENCE

SECOND = {"32m": "16m", "16m": "32m"}
GREEDY, OVERLOAD = 4.0, 1.5
OVERLOADED = 2
"""Times as long as other runs: queues fill for half a minute before the first request is refused."""


async def neighbour(trial: Trial) -> None:
    """Point 1: at 130 % what is attained, at 80 % what is served and how soon; each through all three ways."""
    tenants = await trial.market.sell(two(await trial.market.ware(trial.model)))
    part = NEIGHBOUR.at(PART)
    single = replace(part, prefix="alone_", title="alone on the device")
    alone = await trial.scenario(single, pair(part, tenants)[:1], Way.GATE)
    first_alone = rank(ttft(alone), 99)
    trial.book.note({"neighbour_ttft_p50_alone_s": rank(ttft(alone), 50), "neighbour_ttft_p99_alone_s": first_alone})
    for way in trial.ways:
        found = await trial.scenario(NEIGHBOUR, pair(NEIGHBOUR, tenants), way)
        trial.book.note(full_figures("neighbour_", found, way))
        modest = await trial.scenario(part, pair(part, tenants), way)
        ratio = {f"neighbour_ttft_p99_ratio{way.value}": rank(ttft(modest), 99) / first_alone}
        trial.book.note({**part_figures("neighbour_", modest, way), **ratio})


async def _scenario(trial: Trial, scenario: Scenario, parts: Callable[[Scenario], Sequence[Part]]) -> None:
    """Point 2: at 130 % through the gate and without it, at 80 % through the gate."""
    for way in [way for way in trial.ways if way is not Way.BUCKETS]:
        found = await trial.scenario(scenario, parts(scenario), way)
        trial.book.note(full_figures(scenario.prefix, found, way))
    if Way.GATE not in trial.ways:
        return
    modest = scenario.at(PART)
    found = await trial.scenario(modest, parts(modest), Way.GATE)
    trial.book.note(part_figures(scenario.prefix, found, Way.GATE))


def _two_tenants(scenario: Scenario) -> Callable[[Trial], Awaitable[None]]:
    async def measure(trial: Trial) -> None:
        tenants = await trial.market.sell(two(await trial.market.ware(trial.model)))
        await _scenario(trial, scenario, lambda now: pair(now, tenants))

    return measure


async def two_models(trial: Trial) -> None:
    """Two models on one device: half of the chunks of each."""
    first, second = [await trial.market.ware(shape) for shape in (trial.model, SECOND[trial.model])]
    tenants = await trial.market.sell(two(first, second))
    await _scenario(trial, TWO_MODELS, lambda now: pair(now, tenants))


async def many(trial: Trial) -> None:
    """As many endpoints of one chunk as the device sells."""
    ware = await trial.market.ware(trial.model)
    tenants = await trial.market.sell({f"one-{number}": (ware, 1) for number in range(ware.slices)})
    trial.book.note({"many_endpoints": len(tenants)})
    await _scenario(trial, MANY, lambda now: halves(now, tenants))


async def excess(trial: Trial) -> None:
    """Point 3: the reference workload from two endpoints of different size that want all there is; a part is unsold."""
    ware = await trial.market.ware(trial.model)
    small = max(ware.slices // 4, 1)
    tenants = await trial.market.sell({"small": (ware, small), "large": (ware, min(2 * small, ware.slices - small))})
    parts = [Part(Side(GREEDY, REFERENCE), tenant, own=True) for tenant in tenants]
    found, moments = await trial.run(parts, Way.GATE, trial.counted_s)
    trial.keep(found, "excess_", "the reference workload from two that want all there is, a part unsold", Way.GATE)
    lines = [part.curve(found.start, found.end) for part in found.parts]
    bought = [part.tenant.bought for part in found.parts]
    figures = {"work_over_t": work(found), "jain_excess": jain_excess(lines, bought), **busy(found, moments)}
    for part, line in zip(found.parts, lines, strict=True):
        got = float(line.done[-1] - line.done[0]) / (found.end - found.start)
        figures[f"excess_{part.tenant.target.endpoint}_over_bought"] = got / part.tenant.bought - 1
    trial.book.note(figures)


def busy(found: Run, moments: Sequence[Moment]) -> dict[str, float]:
    """How much of the time the engine was at work while there were requests that it did not have yet.

    `device_computing` is the part of all time that its steps took, without what it does between them.
    """
    inside = [one for one in moments if found.start <= one.at - found.origin <= found.end]
    rows = [row for part in found.parts for row in part.rows]
    waiting = [one for one in inside if _open(rows, one.at - found.origin) > one.running]
    if not waiting:
        return {}
    first, last = inside[0], inside[-1]
    return {
        "device_busy": sum(one.running > 0 for one in waiting) / len(waiting),
        "device_computing": (last.computing_s - first.computing_s) / (last.at - first.at),
    }


def _open(rows: Sequence[Row], at: float) -> int:
    return sum(row.sent_at <= at < row.ended_at for row in rows)


async def retries(trial: Trial) -> None:
    """Point 3: both tenants offer one and a half times what they bought, and come back when they are told to."""
    tenants = await trial.market.sell(two(await trial.market.ware(trial.model)))
    parts = [Part(Side(OVERLOAD, OWN), tenant, own=True) for tenant in tenants]
    found, _ = await trial.run(parts, Way.GATE, OVERLOADED * trial.counted_s, Retry(most=3))
    trial.keep(found, "retry_", "both offer 150 %, and retry as they are told", Way.GATE)
    trial.book.note({"first_retry_accepted": first_retries(found)})


PARTS: dict[str, Callable[[Trial], Awaitable[None]]] = {
    "neighbour_": neighbour,
    **{scenario.prefix: _two_tenants(scenario) for scenario in OTHERS},
    "many_": many,
    "excess_": excess,
    "retry_": retries,
    "two_models_": two_models,
    "planner_": planner,
    "batch_": batch,
}
