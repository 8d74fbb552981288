"""`penstock scaling replay`."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from penstock.cli.scaling_traffic import Wish, policy_of, scene
from penstock.domain.errors import PenstockError
from penstock.domain.scaling_replay import Replay, replay


def run(wish: Wish) -> int:
    """Replays and prints; returns the exit status, 1 if something given cannot be read or makes no sense."""
    try:
        policy = policy_of(wish.policy)
        one, ground, others = scene(wish)
        found = replay(one, policy, ground, others)
    except PenstockError as error:
        print(error.message, file=sys.stderr)
        return 1
    demand = one.demand
    print(json.dumps(_figures(found, demand, wish), indent=1) if wish.as_json else _text(found, demand, wish))
    if wish.png is not None:
        _draw(found, demand, ground.chunk, wish.png)
    return 0


def _figures(found: Replay, demand: Sequence[float], wish: Wish) -> dict[str, object]:
    return {
        "seconds": len(demand),
        "mean_tokens_per_s": round(sum(demand) / len(demand), 1),
        "chunk_hours": round(sum(found.held) / 3600, 2),
        "oracle_chunk_hours": round(sum(found.oracle) / 3600, 2),
        "over_chunk_minutes": round(found.over, 1),
        "under_chunk_minutes": round(found.under, 1),
        "late_share": round(found.late, 5),
        "cost_ratio": round(found.cost_ratio, 3),
        "changes": len(found.steps),
        "steps": [asdict(step) for step in found.steps] if wish.as_json else [],
    }


def _text(found: Replay, demand: Sequence[float], wish: Wish) -> str:
    lines = [f"{'at':>9}  {'chunks':>8}  devices  reason"]
    for step in found.steps[: wish.changes]:
        hours, rest = divmod(step.at, 3600)
        at, chunks = f"{hours:3d}:{rest // 60:02d}:{rest % 60:02d}", f"{step.old:3d} > {step.new:2d}"
        lines.append(f"{at}  {chunks}  {step.devices:7d}  {step.reason}")
    if len(found.steps) > wish.changes:
        lines.append(f"... and {len(found.steps) - wish.changes} more")
    figures = _figures(found, demand, wish)
    return "\n".join([*lines, "", *(f"{name:22} {value}" for name, value in figures.items() if name != "steps")])


def _draw(found: Replay, demand: Sequence[float], chunk: float, path: Path) -> None:
    from matplotlib.figure import Figure

    bins = max(len(demand) // 720, 1)
    hours = [start / 3600 for start in range(0, len(demand), bins)]
    figure = Figure(figsize=(11, 4), layout="constrained")
    axes = figure.subplots()
    means = [sum(demand[at : at + bins]) / len(demand[at : at + bins]) for at in range(0, len(demand), bins)]
    axes.plot(hours, means, color="0.6", label="demand")
    for chunks, label in ((found.held, "held"), (found.oracle, "oracle")):
        most = [max(chunks[at : at + bins]) * chunk for at in range(0, len(demand), bins)]
        axes.step(hours, most, where="post", label=label)
    axes.set(xlabel="hours", ylabel="tokens/s")
    axes.legend()
    figure.savefig(path)
