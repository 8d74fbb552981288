"""Point 4: what `penstock plan` and `penstock batch --estimate` foretell, against what a real server then does."""

import asyncio
import json
import random
import re
import time
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from guarantee import machine
from guarantee.engine import VOCABULARY
from guarantee.market import Ware, two
from guarantee.runs import Tenant, rank
from guarantee.stand import ENDPOINTS, PENSTOCK
from guarantee.trial import SLOW, Trial
from penstock.cli.plan_sources import read_market
from penstock.domain.scaling import Policy
from penstock.domain.simulated_market import Arrival, Band, Market
from penstock.domain.simulation import Simulation
from penstock.load.arrivals import Gaps, Replay
from penstock.load.prompts import Ids, Words
from penstock.load.runner import run
from penstock.load.workload import REFERENCE, Ask, Workload

MIX = (Ask(2048, 256), Ask(512, 128), Ask(128, 256), Ask(3000, 64), Ask(1024, 32))
LOAD = 0.8
"""Of what was bought."""
GREEDY = 3.0
SECONDS = 60.0
SEED = 5
ROWS = 200
WORDS, ANSWER = (10, 300), (16, 256)
"""Of the rows of a batch: words of the prompt (some four tokens each here) and tokens of the answer, evenly drawn."""
T = TypeVar("T")
_ALONE = re.compile(r"device to themselves they take .*? \(([\d.]+) s\)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was foretold or happened: reference tokens per second that were done, and times to first token, sorted."""

    tokens_per_s: float
    ttft_s: Sequence[float]

    def __str__(self) -> str:
        p50, p99 = (f"{rank(self.ttft_s, percent):.3f}" for percent in (50, 99))
        return f"{self.tokens_per_s:,.0f} tokens/s, TTFT p50 {p50} and p99 {p99} s"


async def planner(trial: Trial) -> None:
    """A mixed trace at 80 % of what was sold: to one endpoint alone, and to one beside a neighbour who wants all."""
    ware = await trial.market.ware(trial.model)
    for prefix in ("planner_", "planner_busy_"):
        sale = {"planned": (ware, ware.slices)} if prefix == "planner_" else two(ware)
        tenants = await trial.market.sell(sale)
        path = f"{ENDPOINTS}/get-model-optimization-info/{ware.name}/{ware.version}"
        market = read_market(await trial.market.stand.call("GET", path), Policy(), busy=len(tenants) > 1)
        times, workload = _trace(tenants[0])
        planned = _planned(market, next(iter(sale.values()))[1], times, workload)
        real = await _steady(trial, ware, partial(_real, tenants, times, workload))
        trial.console.print(f"{prefix:16} planned {planned}\n{'':16} real    {real}")
        figures = {
            "throughput_error": _error(planned.tokens_per_s, real.tokens_per_s),
            "ttft_error": _error(rank(planned.ttft_s, 99), rank(real.ttft_s, 99)),
            "ttft_p50_error": _error(rank(planned.ttft_s, 50), rank(real.ttft_s, 50)),
            "ttft_p99_s": rank(real.ttft_s, 99),
        }
        trial.book.note({prefix + name: value for name, value in figures.items()})


async def batch(trial: Trial) -> None:
    """200 rows of mixed sizes: first the estimate, then the batch, both with the command."""
    ware = await trial.market.ware(trial.model)
    [tenant] = await trial.market.sell({"planned": (ware, ware.slices)})
    rows = trial.market.stand.folder / "rows.jsonl"
    rows.write_text("".join(json.dumps(body) + "\n" for body in _bodies()))
    told, took = await _steady(trial, ware, partial(_batch, tenant, rows))
    trial.console.print(f"{'batch_':16} estimated {told:.1f} s, took {took:.1f} s")
    trial.book.note({"batch_estimate_error": _error(told, took), "batch_s": took})


def _error(told: float, real: float) -> float:
    return abs(told / real - 1)


def _trace(tenant: Tenant) -> tuple[list[float], Workload]:
    """When what is asked: a Poisson process of requests drawn from the mix, always the same."""
    mean = sum(tenant.scale.tokens(ask.tokens_in, ask.tokens_out) for ask in MIX) / len(MIX)
    times = []
    for at in Gaps(LOAD * tenant.bought / mean, 1.0, SEED).times():
        if at >= SECONDS:
            break
        times.append(at)
    draw = random.Random(SEED)
    return times, Workload(tuple(draw.choice(MIX) for _ in times))


def _planned(market: Market, chunks: int, times: Sequence[float], workload: Workload) -> Seen:
    """As `penstock plan` foretells it."""
    arrivals = [Arrival(at, ask.tokens_in, ask.tokens_out) for at, ask in zip(times, workload.asks, strict=True)]
    found = Simulation(market, Band(chunks, chunks)).run(arrivals)
    ttft = sorted(answer.ttft_s for answer in found.answers if answer.ttft_s >= 0)
    return Seen(sum(found.attained) / found.seconds, ttft)


async def _real(tenants: Sequence[Tenant], times: Sequence[float], workload: Workload) -> Seen:
    """The same trace to a real endpoint; a second tenant asks for more than it gets, as in a plan."""
    own, origin, prompts = tenants[0], asyncio.get_running_loop().time(), Ids(2, VOCABULARY)
    loads = [run(own.target, workload, Replay(tuple(times)), SECONDS, prompts=prompts, origin=origin)]
    for other in tenants[1:]:
        gaps = Gaps(GREEDY * other.bought / sum((REFERENCE.tokens_in, REFERENCE.tokens_out)), 1.0, SEED + 1)
        loads.append(
            run(other.target, Workload((REFERENCE,)), gaps, SECONDS, prompts=prompts, origin=origin, drain_s=0.0)
        )
    rows = [row for row in (await asyncio.gather(*loads))[0].rows if row.served]
    last = times[-1]
    done = sum(own.scale.tokens(row.tokens_in, row.tokens_out) for row in rows if row.ended_at < last)
    return Seen(done / last, sorted(row.ttft_s for row in rows if row.ttft_s is not None))


def _bodies() -> Iterator[dict[str, object]]:
    draw, words = random.Random(SEED), Words()
    for _ in range(ROWS):
        prompt, most = words.words(draw.randint(*WORDS)), draw.randint(*ANSWER)
        yield {"prompt": prompt, "max_tokens": most, "temperature": 0, "ignore_eos": True}


async def _batch(tenant: Tenant, rows: Path) -> tuple[float, float]:
    """Seconds that the command says the rows that it did not try take with the device to themselves, and take."""
    answers = rows.with_name("answers.jsonl")
    answers.unlink(missing_ok=True)
    told = await _command(tenant, rows, answers, "--estimate")
    found = _ALONE.search(told)
    if found is None:
        raise RuntimeError(f"there is no estimate: {told}")
    began = time.monotonic()
    await _command(tenant, rows, answers)
    return float(found[1]), time.monotonic() - began


async def _command(tenant: Tenant, rows: Path, answers: Path, *options: str) -> str:
    target = tenant.target
    where = ["--out", str(answers), "--url", target.url, "--token", target.token]
    process = await asyncio.create_subprocess_exec(
        *PENSTOCK, "batch", target.endpoint, str(rows), *where, *options, stdout=PIPE, stderr=STDOUT
    )
    said, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(said.decode())
    return said.decode()


async def _steady(trial: Trial, ware: Ware, work: Callable[[], Awaitable[T]]) -> T:
    """What `work` gives, again if the machine was disturbed; of tries that all were, that of the fastest machine."""
    tries: list[tuple[float, T]] = []
    for _ in range(trial.repeats + 1):
        engine = await trial.market.engine(ware)
        before, began = await engine.speed(), machine.used()
        found = await work()
        await trial.market.idle()
        others, after = began.others(machine.used()), await engine.speed()
        best = trial.best[ware.name] = max(before, after, trial.best.get(ware.name, 0.0))
        tries.append((min(before, after) / best, found))
        if tries[-1][0] >= SLOW and not machine.is_disturbed(others):
            return found
        trial.console.print(f"[yellow]disturbed: speed {tries[-1][0]:.2f}, others had {others:.2f} cores[/yellow]")
    return max(tries, key=lambda one: one[0])[1]
