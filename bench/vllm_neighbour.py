"""Two endpoints on vLLM, one of which wants ten times what it has bought: does the other attain what it has bought?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from guarantee.market import two
from guarantee.runs import Run, attained, drive, failed, outcomes, rank, refused_below, served, ttft, work
from guarantee.scenario import NEIGHBOUR, PART
from guarantee.trial import RESIDENCES, WINDOW_S, pair

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rich.console import Console

    from guarantee.market import Market, Ware

MOST_START_S = 45.0
"""What does not count at the beginning is no longer than this, however long requests take at the knee."""


async def beside_a_neighbour(
    market: Market,
    ware: Ware,
    seconds: float,
    console: Console,
) -> AsyncIterator[dict[str, float]]:
    """Figures as in `docs/guarantee.md`, of runs at 130 and at 80 % of what was bought; none if it is one chunk."""
    if ware.slices < 2:
        console.print(f"one chunk of {ware.chunk:,} tokens/s is all that the device sells: no two endpoints share it")
        return
    tenants = await market.sell(two(ware))
    for scenario, ending in ((NEIGHBOUR, ""), (NEIGHBOUR.at(PART), "_modest")):
        start = min(RESIDENCES * ware.residence_s, MOST_START_S)
        found = await drive(pair(scenario, tenants), start, start + seconds)
        more = _figures(found)
        console.print(
            f"neighbour_ own {scenario.own.load:4.0%}: "
            + ", ".join(f"{name} {value:.3f}" for name, value in more.items())
            + f", {dict(outcomes(found))}"
        )
        yield {f"neighbour_{name}{ending}": value for name, value in more.items()}


def _figures(found: Run) -> dict[str, float]:
    first = ttft(found)
    return {
        "attained_min": attained(found, WINDOW_S),
        "attained_min_10s": attained(found, 10),
        "other_attained_min": attained(found, WINDOW_S, own=False),
        "served_of_offered": served(found),
        "work_over_t": work(found),
        "refused_below": refused_below(found),
        "failed": failed(found),
        "ttft_p50_s": rank(first, 50),
        "ttft_p99_s": rank(first, 99),
    }
