"""vLLM behind Penstock, beside vLLM by itself: the same model, flags, load and machine, in turns within one run.

    make bench-vllm [VLLM_PYTHON=/opt/vllm/bin/python] [ARGS="--rounds 3 --neighbour 61"]

Penstock is a whole server: the model is registered, measured and served by an endpoint that has bought all that there
is to sell; requests go through its serving API. Bare is `vllm serve` with the very command line and variables that the
server has started its own with (read off that process), but for the name of its socket, on which it is asked at its
OpenAI API. The third is a server without vLLM, whose CPU engine serves the same model in its usual precision.

The reference workload (2,048 tokens in, 256 out, streamed, random token ids, no prefix known) goes to each in waves of
1, 4 and 8 requests at the same moment, and of as many as at the knee: all have the same work. Sides take turns: only
one computes at a time. With `--neighbour`, two endpoints then share the device, and one asks for ten times what it has
bought (docs/guarantee.md, scenario `neighbour_`). Writes bench/out/vllm.json.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

sys.path.insert(0, str(Path(__file__).resolve().parent))

from guarantee.engine import VOCABULARY
from guarantee.market import Market, told
from guarantee.stand import end_when_told
from models import ROOMY
from penstock.load.arrivals import Closed, Replay
from penstock.load.prompts import Ids
from penstock.load.runner import run
from penstock.load.workload import REFERENCE, Ask, Workload
from processes import machine
from vllm_neighbour import beside_a_neighbour
from vllm_report import Found, Taken, show, write
from vllm_sides import Bare, Served, stand

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.load.row import Row

OUT = Path(__file__).resolve().parent / "out"
WARM = Ask(512, 16)
RESIDENCES = 2
WAVE_S = 300.0
SIDES = ("penstock", "bare", "cpu")


def arguments() -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    python = os.environ.get("PENSTOCK_VLLM_PYTHON", "")
    parser.add_argument("--python", default=python, help="an interpreter that has vLLM for CPUs")
    parser.add_argument("--model", choices=list(ROOMY), default="32m")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--concurrency", nargs="+", type=int, default=[1, 4, 8])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15, help="for each side, number at a time and round")
    parser.add_argument("--budget", type=float, default=60, help="seconds for measuring the model")
    parser.add_argument("--neighbour", type=float, default=0, help="seconds beside a neighbour; 61 hold whole windows")
    parsed = parser.parse_args()
    if not parsed.python:
        parser.error("PENSTOCK_VLLM_PYTHON or --python must name an interpreter that has vLLM")
    if "penstock" not in parsed.sides:
        parser.error("--sides: bare vLLM is started as the server starts its own, so penstock must be among them")
    return parsed


async def take(side: Served | Bare, parallel: int, seconds: float) -> Taken:
    """One side in waves of requests sent at the same moment, until so many seconds have passed; one wave at least."""
    began, whole = time.monotonic(), side.whole().cpu_seconds
    gateway = side.gateway().cpu_seconds if isinstance(side, Served) else 0.0
    waves: list[Sequence[Row]] = []
    while not waves or time.monotonic() - began < seconds:
        at_once = Replay((0.0,) * parallel)
        found = await run(side.target, Workload((REFERENCE,)), at_once, 0.1, prompts=Ids(2, VOCABULARY), drain_s=WAVE_S)
        waves.append(found.rows)
    passed = time.monotonic() - began
    after = side.gateway().cpu_seconds if isinstance(side, Served) else 0.0
    return Taken(waves, (side.whole().cpu_seconds - whole) / passed, (after - gateway) / passed)


async def started(
    parts: argparse.Namespace, console: Console, stack: AsyncExitStack, found: Found
) -> list[Served | Bare]:
    """All sides, warm, one after another."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vllm-")))
    sides: list[Served | Bare] = []
    for name in [one for one in SIDES if one in parts.sides]:
        began = time.monotonic()
        if name == "bare":
            first = sides[0]
            assert isinstance(first, Served)
            bare = Bare(first.engine(), folder)
            sides.append(await stack.enter_async_context(bare))
            console.print(f"both vLLMs: {bare.flags()}")
        else:
            python = parts.python if name == "penstock" else ""
            server = await stack.enter_async_context(stand(folder / name, python, parts.budget))
            side = Served(name, Market(server, OUT / "models", console.print, repeats=0))
            found.wares[name] = await side.deploy(parts.model)
            console.print(told(found.wares[name]))
            sides.append(side)
        await run(sides[-1].target, Workload((WARM,)), Closed(2), 2.0, prompts=Ids(2, VOCABULARY))
        console.print(f"{name} is ready after {time.monotonic() - began:.0f} s")
    return sides


async def compare(parts: argparse.Namespace, console: Console, stack: AsyncExitStack) -> Found:
    """All rounds, and the neighbour in the end; what there is is written after each."""
    found = Found()
    sides = await started(parts, console, stack, found)
    for number in range(parts.rounds):
        await one_round(parts, number, sides, found, console)
    for side in sides:
        found.memory[side.name] = side.whole().peak_rss_mb
        if isinstance(side, Served):
            found.gateway_memory[side.name] = side.gateway().peak_rss_mb
    if parts.rounds:
        show(found, console)
    write(found, OUT)
    if parts.neighbour:
        first, ware = sides[0], found.wares["penstock"]
        assert isinstance(first, Served)
        async for figures in beside_a_neighbour(first.market, ware, parts.neighbour, console):
            found.neighbour.update(figures)
            write(found, OUT)
    return found


async def one_round(
    parts: argparse.Namespace, number: int, sides: list[Served | Bare], found: Found, console: Console
) -> None:
    """Each side in turn, with each number of requests at a time; with the knee's in the first round only."""
    ware = found.wares["penstock"]
    knee = [int(ware.profile["knee"])] if not number else []
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    numbers = sorted({*parts.concurrency, *knee})
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=len(numbers) * len(sides))
        for parallel in numbers:
            # As long as a few requests take one after another.
            seconds = max(parts.seconds, RESIDENCES * parallel * ware.residence_s / ware.profile["knee"])
            begins = (number + parallel) % len(sides)
            for side in [*sides[begins:], *sides[:begins]]:
                progress.update(task, description=f"round {number + 1}: {side.name}, {parallel} at a time")
                found.add(side.name, parallel, await take(side, parallel, seconds))
                progress.advance(task)


async def main() -> None:
    """Measures, prints and writes."""
    parts = arguments()
    end_when_told()
    console = Console(width=180, highlight=False)
    console.print(machine())
    (OUT / "models").mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        found = await compare(parts, console, stack)
    console.print(f"figures in {write(found, OUT)}")


if __name__ == "__main__":
    asyncio.run(main())
