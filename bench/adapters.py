"""What LoRA adapters cost on the CPU engine: tokens per second of one model without room for them, and with it.

The reference workload: prompts of 2,048 tokens, answers of 256, greedy, --parallel requests sent at the same moment;
tokens of prompts and answers together count. Engines have no room for adapters, or room for some rank; with
adapters in use (rank 16 each, all linear layers), they fill it, and requests take them in turn.
All engines of a precision live at the same time and take turns, wave by wave, so that they meet the same machine; the
median wave counts. Beside it stands what a token took of the processor, which other programs change less.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from models import SHAPES, Shape, ensure_adapter, ensure_model
from processes import machine
from sides import BLOCK, Penstock, Plan

OUT = Path(__file__).resolve().parent / "out"
PROMPT, ANSWER = 2048, 256
SPARE_BLOCKS = 16
RANK = 16


@dataclass(frozen=True, slots=True)
class Figures:
    """Tokens per second, and milliseconds of the processor for each token."""

    tokens_per_s: float
    cpu_ms: float


async def _measure(shape: Shape, args: argparse.Namespace, precision: str) -> dict[str, Figures]:
    """What was measured, by the name of the way."""
    model = ensure_model(shape, OUT / "models")
    adapters = [ensure_adapter(shape, OUT / "models", RANK, seed) for seed in range(max(args.rooms) // RANK)]
    blocks = args.parallel * -(-(PROMPT + ANSWER) // BLOCK) + SPARE_BLOCKS
    plain = Plan(model, precision, blocks, shape.kv_bytes_per_token * BLOCK, args.parallel, args.chunk, OUT / "logs")
    plans = {"without room": (plain, ())}
    ways = {(room, used) for room in args.rooms for used in (0, room // RANK)}
    for room, used in sorted(ways):
        names = tuple(f"adapter-{number}" for number in range(used))
        told = [
            text for name, folder in zip(names, adapters, strict=False) for text in ("--adapter", f"{name}={folder}")
        ]
        name = f"room for {room}, {used or 'none'} in use"
        plans[name] = (replace(plain, more=("--adaptable", str(room), *told), name=f"-{room}-{used}"), names)
    rates: dict[str, list[float]] = {}
    times: dict[str, list[float]] = {}
    async with AsyncExitStack() as stack:
        sides = {}
        for name, (plan, _) in plans.items():
            sides[name] = Penstock(plan, OUT / "cache", stream=False)
            stack.push_async_callback(sides[name].stop)
            await sides[name].start()
            await sides[name].wave(_prompts(shape, 2, args.prompt, seed=1), 8, plans[name][1])
        for number in range(args.rounds):
            prompts = _prompts(shape, args.parallel, args.prompt, seed=number + 2)
            for name in list(sides) if number % 2 else reversed(list(sides)):
                before = sides[name].tree().cpu_seconds
                wave = await sides[name].wave(prompts, args.answer, plans[name][1])
                spent = sides[name].tree().cpu_seconds - before
                times.setdefault(name, []).append(1000 * spent / wave.tokens)
                rates.setdefault(name, []).append(wave.tokens / wave.seconds)
    return {name: Figures(statistics.median(rates[name]), statistics.median(times[name])) for name in plans}


def _prompts(shape: Shape, count: int, length: int, seed: int) -> list[list[int]]:
    found: list[list[int]] = np.random.default_rng(seed).integers(300, shape.vocabulary, (count, length)).tolist()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=list(SHAPES), default="32m")
    parser.add_argument("--precisions", nargs="+", choices=["int8", "bf16"], default=["int8", "bf16"])
    parser.add_argument("--parallel", type=int, default=8)
    parser.add_argument("--chunk", type=int, default=512, help="prompt tokens that a step computes at most")
    parser.add_argument("--rooms", nargs="+", type=int, default=[32, 128], help="rank of all adapters together")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompt", type=int, default=PROMPT)
    parser.add_argument("--answer", type=int, default=ANSWER)
    args = parser.parse_args()
    (OUT / "logs").mkdir(parents=True, exist_ok=True)
    console = Console()
    found = {one: asyncio.run(_measure(SHAPES[args.model], args, one)) for one in args.precisions}
    table = Table(title=f"{args.model}, {args.parallel} at once: {args.prompt} in, {args.answer} out; {machine()}")
    for name in ("adapters", *found):
        table.add_column(name, justify="right")
    for name in next(iter(found.values())):
        table.add_row(name, *(_cell(rates, name) for rates in found.values()))
    console.print(table)
    told = {one: {name: asdict(figures) for name, figures in ways.items()} for one, ways in found.items()}
    (OUT / "adapters.json").write_text(json.dumps(told, indent=2), encoding="utf-8")


def _cell(found: dict[str, Figures], name: str) -> str:
    first, *_ = found.values()
    one = found[name]
    cpu = f"{one.cpu_ms:.3f} ms ({one.cpu_ms / first.cpu_ms - 1:+.0%})"
    return f"{one.tokens_per_s:,.0f} tokens/s ({one.tokens_per_s / first.tokens_per_s - 1:+.0%}), {cpu}"


if __name__ == "__main__":
    main()
