"""Tokens per second of Penstock's CPU engine and of OpenVINO GenAI's own pipeline, in the same run on the same machine.

The reference workload: prompts of 2,048 tokens, answers of 256, greedy, 1 to 16 requests sent at the same moment, until
the last one is whole; tokens of prompts and answers together count. Both sides get the same random prompts, each used
once, so that no prefix cache helps. Penstock is its real worker behind HTTP; GenAI is called in its own process.

Alike on both sides: a bf16 KV cache with the same number of blocks, at most 16 sequences at once, at most so many
tokens in a step (--chunk; prompts are cut and share steps with answers), the checkpoint's own values for bf16, prefix
caches that find nothing. Different are the products: GenAI runs what optimum-intel exports by default as int8
(asymmetric, per channel), Penstock its own graph, whose feed-forward layers also quantise activations, one scale per
token, where the processor has AMX. GenAI was given the settings that were fastest where this was written: its defaults,
an 8-bit KV cache and groups of 32, were slower. Penstock is started as its server starts it: a build, then `serve`.
Both processes live through a configuration and take turns, wave by wave, so that both meet the same machine.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from engine_report import Figures, show, write
from models import SHAPES, Shape, ensure_model
from processes import machine
from sides import BLOCK, GenAI, Penstock, Plan

if TYPE_CHECKING:
    from sides import Side, Wave

HERE = Path(__file__).resolve().parent
OUT = HERE / "out"
ENVIRONMENT = HERE.parent / ".bench-env"
PROMPT, ANSWER = 2048, 256
SPARE_BLOCKS = 16
"""Beyond what the largest wave needs: Penstock admits a request only if those that run could each take one more."""
ROUNDS = {("32m", 1): 4, ("32m", 4): 3, ("32m", 8): 2, ("32m", 16): 2, ("1b", 1): 2}
"""Waves per model and concurrency, one where nothing is said: as many as fit into the time."""
PROPERTIES = {
    "int8": ["KV_CACHE_PRECISION=bf16", "DYNAMIC_QUANTIZATION_GROUP_SIZE=128"],
    "bf16": ["KV_CACHE_PRECISION=bf16"],
}


@dataclass(frozen=True, slots=True)
class Run:
    """What is measured, and how."""

    models: list[str]
    precisions: list[str]
    concurrency: list[int]
    sides: list[str]
    chunk: int
    stream: bool
    quick: bool

    @property
    def answer(self) -> int:
        return 16 if self.quick else ANSWER

    @property
    def prompt(self) -> int:
        return 256 if self.quick else PROMPT

    def rounds(self, model: str, concurrency: int) -> int:
        return 1 if self.quick else ROUNDS.get((model, concurrency), 1)

    def tokens(self, model: str) -> int:
        """Of all waves of one side on one configuration."""
        return sum(n * self.rounds(model, n) for n in self.concurrency) * (self.prompt + self.answer)


@dataclass(slots=True)
class Sweep:
    """One configuration while it is being measured."""

    sides: dict[str, Side]
    waves: dict[tuple[str, int], list[Wave]] = field(default_factory=dict)
    cpu: dict[tuple[str, int], float] = field(default_factory=dict)


def main() -> None:
    run = _run(_arguments())
    console = Console()
    console.print(f"{machine()}; {run.prompt} tokens in, {run.answer} out, chunk {run.chunk}")
    for folder in (OUT / "logs", OUT / "ir", OUT / "models"):
        folder.mkdir(parents=True, exist_ok=True)
    if "genai" in run.sides:
        with console.status("the environment of OpenVINO GenAI"):
            subprocess.run(["sh", str(HERE / "genai_env.sh")], check=True)
    figures = asyncio.run(_measure(run, console))
    show(figures, console)
    console.print(f"[bold]figures in {write(figures, OUT, partial=_is_partial(run))}[/bold]")
    drawn = subprocess.run([str(ENVIRONMENT / "bin/python"), str(HERE / "engine_plot.py"), str(OUT)], check=False)
    if drawn.returncode == 0:
        console.print(f"plot in {OUT / 'engine.png'}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="short prompts and answers: shows only that all of it works"
    )
    parser.add_argument("--models", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    parser.add_argument("--precisions", nargs="+", choices=list(PROPERTIES), default=list(PROPERTIES))
    parser.add_argument("--concurrency", nargs="+", type=int, default=[1, 4, 8, 16])
    parser.add_argument("--sides", nargs="+", choices=["penstock", "genai"], default=["penstock", "genai"])
    parser.add_argument(
        "--chunk", type=int, default=1024, help="prompt tokens that a step computes at most, both sides"
    )
    parser.add_argument("--stream", action="store_true", help="stream Penstock's answers")
    return parser.parse_args()


def _run(args: argparse.Namespace) -> Run:
    return Run(args.models, args.precisions, args.concurrency, args.sides, args.chunk, args.stream, args.quick)


def _is_partial(run: Run) -> bool:
    """Whether some of the figures are not those that the keys promise."""
    return run.quick or len(run.models) * len(run.precisions) * len(run.concurrency) * len(run.sides) != 32


async def _measure(run: Run, console: Console) -> Figures:
    figures = Figures()
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        total = sum(_weight(run, name) for name in run.models) * len(run.precisions) * len(run.sides)
        task = progress.add_task("starting", total=total)
        for name in run.models:
            for precision in run.precisions:
                progress.update(task, description=f"{name} {precision}: preparing")
                plans = _plans(run, SHAPES[name], precision)
                async with AsyncExitStack() as stack:
                    sweep = Sweep({side: await _started(side, plans[side], run, stack) for side in run.sides})
                    for n in run.concurrency:
                        progress.update(task, description=f"{name} {precision}: {n} at once")
                        for number in range(run.rounds(name, n)):
                            await _take_turns(run, sweep, SHAPES[name], n, number)
                            step = n * (run.prompt + run.answer) * len(run.sides)
                            progress.advance(task, step * _weight(run, name) / run.tokens(name))
                    _note(figures, sweep, f"{name}_{precision}")
    return figures


def _weight(run: Run, model: str) -> float:
    """About how long a model's waves take, for the progress bar."""
    return run.tokens(model) * SHAPES[model].kv_bytes_per_token


def _plans(run: Run, shape: Shape, precision: str) -> dict[str, Plan]:
    model = ensure_model(shape, OUT / "models")
    blocks = max(run.concurrency) * -(-(PROMPT + ANSWER) // BLOCK) + SPARE_BLOCKS
    block_bytes = shape.kv_bytes_per_token * BLOCK
    plan = Plan(model, precision, blocks, block_bytes, max(run.concurrency), run.chunk, OUT / "logs")
    if "genai" not in run.sides:
        return {"penstock": plan}
    return {"penstock": plan, "genai": replace(plan, model=_exported(model, precision))}


def _exported(model: Path, precision: str) -> Path:
    """The model as OpenVINO GenAI reads it, exported if it is not there. Raises CalledProcessError if that fails."""
    target = OUT / "ir" / f"{model.name}-{precision}"
    if not target.exists():
        unfinished = target.with_name(target.name + ".part")
        command = [ENVIRONMENT / "bin/python", HERE / "genai_export.py", model, precision, unfinished]
        with (OUT / "logs" / f"export-{target.name}.log").open("wb") as log:
            subprocess.run([str(each) for each in command], check=True, stdout=log, stderr=subprocess.STDOUT)
        unfinished.rename(target)
    return target


async def _started(side: str, plan: Plan, run: Run, stack: AsyncExitStack) -> Side:
    """The side's process, ready and warm: kernels are generated and weights repacked by the first prompts."""
    if side == "genai":
        engine: Side = GenAI(plan, ENVIRONMENT, PROPERTIES[plan.precision])
    else:
        engine = Penstock(plan, OUT / "cache", stream=run.stream)
    stack.push_async_callback(engine.stop)
    await engine.start()
    vocabulary = SHAPES[plan.model.name.split("-")[0]].vocabulary
    await engine.wave(_prompts(vocabulary, 2, run.prompt, seed=1), 8)
    return engine


async def _take_turns(run: Run, sweep: Sweep, shape: Shape, concurrency: int, number: int) -> None:
    """One wave of each side with the same prompts; who goes first changes every time."""
    prompts = _prompts(shape.vocabulary, concurrency, run.prompt, seed=1000 * concurrency + number + 2)
    order = list(sweep.sides)
    if (len(sweep.waves) // len(order) + number) % 2:
        order.reverse()
    for side in order:
        engine, key = sweep.sides[side], (side, concurrency)
        before = engine.tree().cpu_seconds
        wave = await engine.wave(prompts, run.answer)
        if wave.tokens != concurrency * (run.prompt + run.answer):
            raise RuntimeError(f"{side} counted {wave.tokens} tokens where {concurrency} full answers were asked for")
        sweep.waves.setdefault(key, []).append(wave)
        sweep.cpu[key] = sweep.cpu.get(key, 0.0) + engine.tree().cpu_seconds - before


def _prompts(vocabulary: int, count: int, length: int, seed: int) -> list[list[int]]:
    found: list[list[int]] = np.random.default_rng(seed).integers(300, vocabulary, (count, length)).tolist()
    return found


def _note(figures: Figures, sweep: Sweep, configuration: str) -> None:
    for (side, concurrency), waves in sweep.waves.items():
        tokens = sum(wave.tokens for wave in waves)
        name = f"{side}_{configuration}_c{concurrency}"
        figures.values[f"{name}_tokens_per_s"] = statistics.median(wave.tokens / wave.seconds for wave in waves)
        figures.values[f"{name}_cpu_ms_per_token"] = 1000 * sweep.cpu[side, concurrency] / tokens
    for side, engine in sweep.sides.items():
        tree = engine.tree()
        name = f"{side}_{configuration}"
        figures.values[f"{name}_rss_mb"] = tree.peak_rss_mb
        figures.values[f"{name}_anonymous_mb"] = tree.anonymous_mb
        figures.values[f"{name}_pss_mb"] = tree.pss_mb


if __name__ == "__main__":
    main()
