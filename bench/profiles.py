"""Profiles one model several times on an idle machine, and prints how far the profiles lie apart.

Each time with a fresh engine, by the code that the server runs. T differs between the times as the machine does: what
other tenants of a shared machine do to its caches and clock is no less real for not showing in its load.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from penstock.adapters.clock import SystemClock
from penstock.adapters.clusters.local import LocalCluster
from penstock.adapters.engines.client import HttpEngineClient
from penstock.adapters.engines.cpu import CpuRecipe
from penstock.adapters.engines.gauge import CpuGauge
from penstock.adapters.models.reader import FolderReader
from penstock.control.measurement import Measurement, Subject
from penstock.domain.estimate import estimate
from penstock.domain.findings import Circumstances
from penstock.domain.model import Task
from penstock.domain.profile import Fingerprint
from penstock.ports.engine import EngineSpec

sys.path.insert(0, str(Path(__file__).parent))
from models import SHAPES, ensure_model
from processes import machine

if TYPE_CHECKING:
    from penstock.domain.findings import Findings
    from penstock.domain.profile import Profile

OUT = Path(__file__).resolve().parent / "out"
START_S = 120.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="32m", help=f"one of {', '.join(SHAPES)}, or a folder of safetensors")
    parser.add_argument("--task", type=Task, default=Task.COMPLETIONS, help="what the model is for")
    parser.add_argument("--times", type=int, default=4, help="how many profiles")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds for each")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between them")
    parser.add_argument("--trials", type=Path, help="append every trial to this file, a line of JSON each")
    asyncio.run(_run(parser.parse_args()))


async def _run(args: argparse.Namespace) -> None:
    console = Console()
    console.print(machine())
    folder = ensure_model(SHAPES[args.model], OUT / "models") if args.model in SHAPES else Path(args.model)
    profiles = []
    for number in range(args.times):
        if number:
            await asyncio.sleep(args.pause)
        began = time.monotonic()
        found, profile = await _profile(folder, args.task, args.budget)
        profiles.append(profile)
        _tell(found, profile, time.monotonic() - began, console)
        if args.trials:
            _keep(found, args.trials)
    if len(profiles) > 1:
        mean = statistics.mean(one.throughput for one in profiles)
        off = max(abs(one.throughput / mean - 1) for one in profiles)
        console.print(f"T {mean:,.0f} on average, at most {off:.1%} from it; knees {[one.knee for one in profiles]}")


async def _profile(folder: Path, task: Task, budget_s: float) -> tuple[Findings, Profile]:
    """Builds and starts the engine, and measures it."""
    facts = replace(await FolderReader().read(folder), task=task, problem=None)
    recipe, client = CpuRecipe(max_queue=64), HttpEngineClient()
    precision = recipe.precision(facts)
    needs = recipe.needs(facts, precision)
    speed = await CpuGauge(OUT / "speed.json", machine().partition(", load")[0]).speed()
    prior = estimate(facts, precision, speed).cost
    (OUT / "cache").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-") as run:
        cluster = LocalCluster(Path(run), memory_fraction=0.9)
        try:
            spec = EngineSpec(folder, OUT / "cache", facts, "m", precision, needs)
            build = await cluster.start(recipe.build(spec, Path(run) / "build.log"))
            while await cluster.exit_code(build) is None:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)
            address = cluster.address("bench")
            began = time.monotonic()
            process = await cluster.start(recipe.serve(spec, address, Path(run) / "serve.log"))
            while not await client.healthy(address):
                if time.monotonic() - began > START_S or await cluster.exit_code(process) is not None:
                    raise SystemExit(await cluster.tail(Path(run) / "serve.log", 2000))
                await asyncio.sleep(0.05)
            startup_s = time.monotonic() - began
            subject = Subject(address, facts, prior, needs.max_running)
            found = await Measurement(client, SystemClock(), subject, budget_s, lambda _: None).run()
            around = Circumstances(
                Fingerprint("bench/1", recipe.version, precision.value, "here"),
                startup_s,
                await cluster.memory(process),
                int(time.time() * 1000),
            )
            return found, found.profile(around)
        finally:
            await cluster.close()


def _tell(found: Findings, profile: Profile, seconds: float, console: Console) -> None:
    table = Table(title=f"T {profile.throughput:,.0f} at {profile.knee}, in {seconds:.0f} s")
    for heading in ("in", "out", "in flight", "counted s", "ms a request", "model"):
        table.add_column(heading, justify="right")
    for one in [*found.curve, *found.others]:
        measured, said = one.seconds(profile.cost), profile.cost.seconds(*one.trial.shape)
        kind = "" if one in found.curve else "held out" if one.trial.shape in found.shapes.held_out else "grid"
        numbers = [*one.trial.shape, one.trial.parallel, f"{one.wall_s:.2f}", f"{1000 * measured:.1f}"]
        table.add_row(*(str(value) for value in numbers), f"{said / measured - 1:+.1%} {kind}")
    console.print(table)
    console.print("cost " + "  ".join(f"{n} {v:.3g}" for n, v in zip("caebd", profile.cost.coefficients, strict=True)))
    if profile.held_out_mean is not None and profile.held_out_worst is not None:
        console.print(f"held out: {profile.held_out_mean:.1%} on average, {profile.held_out_worst:.1%} at worst")


def _keep(found: Findings, path: Path) -> None:
    with path.open("a") as file:
        for one in [*found.curve, *found.others]:
            trial = {"parallel": one.trial.parallel, "shape": one.trial.shape, "terms": one.effort.terms}
            file.write(json.dumps(trial | {"seconds": one.wall_s}) + "\n")


if __name__ == "__main__":
    main()
