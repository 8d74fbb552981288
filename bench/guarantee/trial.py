"""Runs that know whether the machine was disturbed, and are repeated then."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from rich.console import Console

from guarantee import machine
from guarantee.book import Book, record
from guarantee.engine import Moment
from guarantee.market import Market, Ware, Way
from guarantee.runs import Part, Run, Tenant, attained, drive, rank, served, ttft, work
from guarantee.scenario import Scenario
from penstock.load.runner import Retry

WINDOW_S = 60.0
RESIDENCES = 3
SLOW = 0.9
"""A machine below that part of its best speed is disturbed."""
SAMPLE_S = 0.1


@dataclass(slots=True)
class Trial:
    """Where runs are made and kept. `counted_s` seconds of each count, `modest_s` of those below the allotment.

    `model` is the shape of the one that all scenarios have, `ways` are those that are taken.
    """

    market: Market
    book: Book
    console: Console
    counted_s: float
    modest_s: float
    model: str
    repeats: int = 2
    ways: tuple[Way, ...] = tuple(Way)
    best: dict[str, float] = field(default_factory=dict)

    async def run(
        self, parts: Sequence[Part], way: Way, seconds: float, retry: Retry | None = None
    ) -> tuple[Run, list[Moment]]:
        """A run through one way, with what the first engine did; again if the machine was disturbed.

        Of runs that were all disturbed the one with the fastest machine is told, with its speed.
        """
        tries: list[tuple[Run, list[Moment]]] = []
        for repeat in range(self.repeats + 1):
            found, moments = await self._once(parts, way, seconds, retry)
            tries.append((replace(found, repeats=repeat), moments))
            if not self.disturbed(found):
                return tries[-1]
            self.console.print(
                f"[yellow]disturbed: speed {found.speed:.2f} of the best, others had {found.others:.2f} cores,"
                f" work {work(found):.2f} T[/yellow]"
            )
        best, moments = max(tries, key=lambda one: one[0].speed)
        return replace(best, repeats=self.repeats), moments

    def disturbed(self, found: Run) -> bool:
        """Whether something else had the machine."""
        return found.speed < SLOW or machine.is_disturbed(found.others)

    async def scenario(self, scenario: Scenario, parts: Sequence[Part], way: Way) -> Run:
        """A run of a scenario, kept and printed; it is as long as its windows and its silence need."""
        seconds = (self.counted_s if scenario.own.load > 1 else self.modest_s) + scenario.own.quiet_s
        found, _ = await self.run(parts, way, seconds)
        self.keep(found, scenario.prefix, scenario.title, way)
        return found

    def keep(self, found: Run, prefix: str, title: str, way: Way) -> None:
        """Puts a run into the book, and prints it."""
        kept = record(found, prefix, title, way)
        self.book.add(kept)
        least = [f"{attained(found, window):.3f}" for window in (WINDOW_S, 10)]
        self.console.print(
            f"{prefix:16} own {kept.load:4.0%} {way.value[1:] or 'gate':8}"
            f" attained 60 s {least[0]}, 10 s {least[1]}, served {served(found):.3f},"
            f" TTFT p50 {kept.ttft_rank(50):.2f} p99 {kept.ttft_rank(99):.2f} s, refused below {kept.refused_below},"
            f" work {kept.work_over_t:.2f} T, speed {found.speed:.2f}, {dict(kept.outcomes)}"
        )

    async def _once(
        self, parts: Sequence[Part], way: Way, seconds: float, retry: Retry | None
    ) -> tuple[Run, list[Moment]]:
        tenants = [part.tenant for part in parts]
        start = RESIDENCES * max(tenant.residence_s for tenant in tenants)
        await self.market.idle()
        before = await self._speed()
        moments: list[Moment] = []
        async with self.market.reached(tenants, way) as reached:
            first = await self.market.engine_of(tenants[0])
            watch = asyncio.create_task(first.watch(SAMPLE_S, moments))
            began = machine.used()
            try:
                ways = [replace(part, tenant=tenant) for part, tenant in zip(parts, reached, strict=True)]
                found = await drive(ways, start, start + seconds, retry=retry)
            finally:
                watch.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watch
            others = began.others(machine.used())
        await self.market.idle()
        after = await self._speed()
        return replace(found, speed=min(before, after), others=others), moments

    async def _speed(self) -> float:
        """The least speed of the engines now, as parts of the best that each had."""
        parts = []
        for ware in _wares(self.market):
            now = await (await self.market.engine(ware)).speed()
            self.best[ware.name] = max(now, self.best.get(ware.name, 0.0))
            parts.append(now / self.best[ware.name])
        return min(parts)


def _wares(market: Market) -> list[Ware]:
    return list({ware.name: ware for ware, _ in market.sold.values()}.values())


def pair(scenario: Scenario, tenants: Sequence[Tenant]) -> list[Part]:
    """The well-behaved side and its neighbour."""
    own, other = tenants
    return [Part(scenario.own, own, own=True), Part(scenario.other, other, own=False)]


def halves(scenario: Scenario, tenants: Sequence[Tenant]) -> list[Part]:
    """The first half of the tenants behave well, the others are neighbours; one alone behaves well."""
    well = max(len(tenants) // 2, 1)
    return [
        Part(scenario.own if number < well else scenario.other, tenant, own=number < well)
        for number, tenant in enumerate(tenants)
    ]


def full_figures(prefix: str, found: Run, way: Way) -> Mapping[str, float]:
    """The figures of a run above the allotment."""
    end = way.value
    return {
        f"{prefix}attained_min{end}": attained(found, WINDOW_S),
        f"{prefix}attained_min_10s{end}": attained(found, 10),
        f"{prefix}other_attained_min{end}": attained(found, WINDOW_S, own=False),
        f"{prefix}work_over_t{end}": work(found),
        f"{prefix}speed{end}": found.speed,
    }


def part_figures(prefix: str, found: Run, way: Way) -> Mapping[str, float]:
    """The figures of a run below it."""
    first = ttft(found)
    return {
        f"{prefix}served_of_offered{way.value}": served(found),
        f"{prefix}ttft_p50_s{way.value}": rank(first, 50),
        f"{prefix}ttft_p99_s{way.value}": rank(first, 99),
    }
