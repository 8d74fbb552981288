"""The guarantee, measured: a real server, a real model on the CPU engine, and neighbours that behave badly.

    make bench-guarantee [ARGS="--seconds 90 --only neighbour_"]

Writes bench/out/guarantee.json, flat, and guarantee.png. Two endpoints of one version share a device of which 90 % is
sold. Each scenario is run through the gate, and again without it: both tenants' requests go straight to one engine, in
the order in which they come. `..._work_over_t` beside each run tells whether something else disturbed it.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from guarantee import runs
from guarantee.runs import Run, Tenant
from guarantee.scenario import NEIGHBOUR, OTHERS, Scenario
from guarantee.stand import Stand
from guarantee.work import Scale
from models import SHAPES, ensure_model
from penstock.domain.profile import CostModel
from penstock.load.target import Target

OUT = Path(__file__).resolve().parents[1] / "out"
MODEL = "main.default.bench"
ROUTES = "/api/2.0/serving-endpoints"
COEFFICIENTS = "caebd"


@dataclass(slots=True)
class Bench:
    """The stand with two tenants on one version, and the figures so far."""

    stand: Stand
    own: Tenant
    other: Tenant
    engine: Path
    skip_s: float
    seconds: float
    console: Console
    figures: dict[str, float] = field(default_factory=dict)

    def direct(self, tenant: Tenant) -> Tenant:
        """The tenant with its requests going straight to the one engine."""
        return replace(tenant, target=replace(tenant.target, url="http://engine", path="/v1", socket=str(self.engine)))

    async def run(self, scenario: Scenario, *, gate: bool = True) -> Run:
        """Both sides at once."""
        own, other = (self.own, self.other) if gate else (self.direct(self.own), self.direct(self.other))
        found = await runs.drive(scenario, own, other, self.seconds, self.skip_s)
        self.console.print(
            f"{scenario.prefix:16} own {scenario.own.load:.0%} {'gate' if gate else 'no gate':8}"
            f" attained 60 s {runs.attained(found, self.own, 60):.3f}, 10 s {runs.attained(found, self.own, 10):.3f},"
            f" served {runs.served(found, self.own):.3f}, TTFT p50 {runs.percentile(runs.ttft(found), 0.5):.2f}"
            f" p99 {runs.percentile(runs.ttft(found), 0.99):.2f} s, refused {runs.refusals(found)},"
            f" work {runs.work(found, self.own, self.other):.2f} T"
        )
        return found

    def keep(self, prefix: str, found: Run, ending: str = "") -> None:
        """The three figures that every scenario has."""
        self.figures[f"{prefix}attained_min{ending}"] = runs.attained(found, self.own, 60)
        self.figures[f"{prefix}attained_min_10s{ending}"] = runs.attained(found, self.own, 10)
        self.figures[f"{prefix}served_of_offered{ending}"] = runs.served(found, self.own)
        self.figures[f"{prefix}work_over_t{ending}"] = runs.work(found, self.own, self.other)


async def neighbour(bench: Bench) -> None:
    """Point 1: at 130 % what is attained, at 80 % what is served and how soon it begins."""
    full, part = NEIGHBOUR
    alone = await runs.drive(part, bench.own, None, bench.seconds, bench.skip_s)
    first_alone = runs.percentile(runs.ttft(alone), 0.99)
    for gate, ending in ((True, ""), (False, "_no_gate")):
        found = await bench.run(full, gate=gate)
        bench.keep("neighbour_", found, ending)
        modest = await bench.run(part, gate=gate)
        first = runs.percentile(runs.ttft(modest), 0.99)
        bench.figures[f"neighbour_served_of_offered{ending}"] = runs.served(modest, bench.own)
        bench.figures[f"neighbour_ttft_p50_s{ending}"] = runs.percentile(runs.ttft(modest), 0.5)
        bench.figures[f"neighbour_ttft_p99_s{ending}"] = first
        bench.figures[f"neighbour_ttft_p99_ratio{ending}"] = first / first_alone
        if gate:
            bench.figures["refusals_below_allotment"] = runs.refusals(modest)
    bench.figures["neighbour_ttft_p99_alone_s"] = first_alone


async def prepare(stand: Stand, parts: argparse.Namespace, console: Console) -> Bench:
    """Registers the model, measures it, and sells 90 % of the device to two endpoints alike."""
    with console.status("making, measuring and deploying the model"):
        folder = await asyncio.to_thread(ensure_model, SHAPES[parts.model], OUT / "models")
        version = await stand.register(MODEL, folder)
        await stand.deploy("own", MODEL, version, 0, 100)
        info = await stand.call("GET", f"{ROUTES}/get-model-optimization-info/{MODEL}/{version}")
        await stand.call("DELETE", f"{ROUTES}/own")
    chunk, slices, total = int(info["throughput_chunk_size"]), int(info["slices"]), float(info["throughput"])
    # An odd number of chunks leaves one more to the neighbour: 90 % is sold in any case.
    bought = {"own": chunk * max(slices // 2, 1), "other": chunk * (slices - slices // 2)}
    for name, rate in bought.items():
        with console.status(f"deploying {name}"):
            await stand.deploy(name, MODEL, version, rate, rate)
    scale = Scale(CostModel(**{key: info["profile"]["cost"][key] for key in COEFFICIENTS}), total, stretch=2.0)
    sold = sum(bought.values()) / chunk / slices * 0.9
    residence_s = info["profile"]["knee"] * 2304 / total
    console.print(f"T {total:,.0f} tokens/s, knee {info['profile']['knee']}, chunk {chunk}, {sold:.0%} sold")
    tenants = [Tenant(Target(stand.url, name, stand.token), rate, scale) for name, rate in bought.items()]
    sockets = sorted(parts.folder.rglob("*.sock"))
    figures = {"t": total, "chunk": chunk, "sold": sold}
    profile = info["profile"]
    figures |= {
        f"cost_model_error_{key}": profile[f"held_out_{key}"]
        for key in ("mean", "worst")
        if f"held_out_{key}" in profile
    }
    bench = Bench(stand, *tenants, sockets[0], 3 * residence_s, 0.0, console, figures)
    bench.seconds = max(parts.seconds, bench.skip_s + 61)
    return bench


def draw(figures: dict[str, float], path: Path) -> None:
    """Attained with and without the gate, by scenario."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    ending = "attained_min"
    names = [key[: -len(ending)] for key in figures if key.endswith(ending)]
    figure, axes = plt.subplots(figsize=(9, 4))
    places = range(len(names))
    axes.bar([x - 0.2 for x in places], [figures[name + ending] for name in names], 0.4, label="gate")
    axes.bar(
        [x + 0.2 for x in places], [figures.get(f"{name}{ending}_no_gate", 0) for name in names], 0.4, label="none"
    )
    axes.axhline(0.99, color="grey", linewidth=1)
    axes.set_xticks(list(places), [name.strip("_") for name in names])
    axes.set_ylabel("attained / bought, least 60 s")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


async def main() -> None:
    """Runs what is asked for; figures that exist from an earlier run of this version are kept beside the new ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120, help="of each run")
    parser.add_argument("--only", nargs="*", default=[], help="prefixes of scenarios")
    parser.add_argument("--model", choices=list(SHAPES), default="32m")
    parser.add_argument("--fresh", action="store_true", help="forget the figures of earlier runs")
    parts = parser.parse_args()
    console = Console(width=200)
    OUT.mkdir(exist_ok=True)
    path = OUT / "guarantee.json"
    known: dict[str, Any] = json.loads(path.read_text()) if path.exists() and not parts.fresh else {}
    with tempfile.TemporaryDirectory(prefix="guarantee-") as folder:
        parts.folder = Path(folder)
        async with Stand(parts.folder) as stand:
            bench = await prepare(stand, parts, console)
            if not parts.only or "neighbour_" in parts.only:
                await neighbour(bench)
                _write(path, known, bench.figures)
            for scenario in OTHERS:
                if not parts.only or scenario.prefix in parts.only:
                    bench.keep(scenario.prefix, await bench.run(scenario))
                    bench.keep(scenario.prefix, await bench.run(scenario, gate=False), "_no_gate")
                    _write(path, known, bench.figures)
    draw({**known, **bench.figures}, OUT / "guarantee.png")
    console.print(f"[bold]figures in {path}[/bold], load {os.getloadavg()[0]:.1f}")


def _write(path: Path, known: dict[str, Any], figures: dict[str, float]) -> None:
    path.write_text(json.dumps({**known, **figures}, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
