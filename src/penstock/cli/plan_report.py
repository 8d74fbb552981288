"""What `penstock plan` tells: a table, JSON, and a picture of the day."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from penstock.domain.purchase import Candidate, Target
from penstock.domain.throughput import Chunks

BLUE, RED, GREY = "#1f6fb2", "#c1440e", "#999999"
_SHOWN = 24
"""Changes of the allotment that the table shows."""


def document(best: Candidate, target: Target, chunks: Chunks, *, kept: bool, price: float) -> dict[str, Any]:
    """The plan as JSON; times and tokens per second as everywhere, `cost` in chunk-hours, and in money at the price."""
    band, cost = best.band, best.cost
    told: dict[str, Any] = {
        "target": {"ttft_p99_s": target.ttft_p99_s, "served": target.served, "kept": kept},
        "chunk": chunks.chunk,
        "slices": chunks.slices,
        "minimum": {"chunks": band.minimum, "tokens_per_s": band.minimum * chunks.chunk},
        "maximum": {"chunks": band.maximum, "tokens_per_s": band.maximum * chunks.chunk},
        "predicted": {
            "ttft_p50_s": _finite(best.ttft_p50_s),
            "ttft_p99_s": _finite(best.ttft_p99_s),
            "served": round(best.served, 5),
            "tokens_per_s": round(sum(best.run.attained) / best.run.seconds, 1),
        },
        "offered_tokens_per_s": round(sum(best.run.offered) / best.run.seconds, 1),
        "seconds": round(best.run.seconds, 1),
        "requests": len(best.run.answers),
        "chunk_hours": {name: round(getattr(cost, name), 4) for name in ("billed", "allotted", "oracle")},
        "allotments": [{"t": one.at, "chunks": one.chunks, "replicas": one.replicas} for one in best.run.moments],
    }
    if price:
        told["cost"] = {name: round(value * price, 4) for name, value in told["chunk_hours"].items()}
    return told


def write(path: Path, told: dict[str, Any]) -> None:
    """Writes the JSON; "-" is standard output."""
    text = json.dumps(told, indent=1) + "\n"
    if str(path) == "-":
        print(text, end="")
    else:
        path.write_text(text, encoding="utf-8")


def show(console: Console, told: dict[str, Any]) -> None:
    """The plan in words and a table."""
    low, high, said, hours = told["minimum"], told["maximum"], told["predicted"], told["chunk_hours"]
    aim = f"first token within {told['target']['ttft_p99_s']:g} s at p99, {told['target']['served']:.2%} served"
    if told["target"]["kept"]:
        console.print(f"[bold]Buy {low['tokens_per_s']:,} to {high['tokens_per_s']:,} tokens/s[/] ({aim}).")
    else:
        console.print(f"[bold]Not even {high['tokens_per_s']:,} tokens/s keep the target[/] ({aim}).")
    table = Table(show_header=False, box=None)
    table.add_row("Minimum, maximum", f"{low['chunks']} and {high['chunks']} chunks of {told['chunk']:,} tokens/s")
    table.add_row("Time to first token", f"p50 {_seconds(said['ttft_p50_s'])}, p99 {_seconds(said['ttft_p99_s'])}")
    table.add_row("Served", f"{said['served']:.2%} of {told['requests']:,} requests")
    table.add_row("Offered, attained", f"{told['offered_tokens_per_s']:,} and {said['tokens_per_s']:,} tokens/s")
    table.add_row(
        "Chunk-hours",
        f"{hours['billed']:g} billed, {hours['allotted']:.2f} allotted, {hours['oracle']:.2f} by a perfect autoscaler",
    )
    if "cost" in told:
        cost = told["cost"]
        table.add_row("Cost", f"{cost['billed']:,.2f}; a perfect autoscaler's {cost['oracle']:,.2f}")
    console.print(table)
    changes = told["allotments"]
    over = Table("from, s", "chunks", "replicas", title="Allotment over time")
    for one in changes[:_SHOWN]:
        over.add_row(f"{one['t']:,.0f}", str(one["chunks"]), str(one["replicas"]))
    if len(changes) > _SHOWN:
        over.caption = f"and {len(changes) - _SHOWN} changes more (--json has all)"
    console.print(over)


def draw(path: Path, best: Candidate, chunk: int) -> None:
    """Writes a PNG: what was offered, attained and allotted, and the times to first token."""
    from matplotlib.figure import Figure

    run = best.run
    figure = Figure(figsize=(10, 6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    wide = max(len(run.offered) // 300, 10)
    at = list(range(0, len(run.offered), wide))
    for values, name, colour in ((run.offered, "offered", GREY), (run.attained, "attained", BLUE)):
        upper.step(at, [_mean(values[one : one + wide]) for one in at], where="post", color=colour, label=name)
    moments = [*run.moments]
    times = [*(one.at for one in moments), max(run.seconds, moments[-1].at)]
    levels = [one.chunks * chunk for one in moments]
    upper.step(times, [*levels, levels[-1]], where="post", color=RED, label="allotted")
    upper.set(ylabel="reference tokens/s", title=f"{best.band.minimum} to {best.band.maximum} chunks of {chunk:,}")
    upper.legend()
    answered = [answer for answer in run.answers if answer.ttft_s >= 0]
    lower.plot([one.arrival.at for one in answered], [one.ttft_s for one in answered], ".", color=BLUE, markersize=2)
    lower.set(xlabel="s", ylabel="time to first token, s")
    for axes in (upper, lower):
        axes.grid(visible=True, color="#dddddd", linewidth=0.6)
        axes.set_ylim(bottom=0)
    figure.savefig(path, format="png", dpi=130)


def _mean(values: Any) -> float:
    return float(sum(values)) / max(len(values), 1)


def _finite(value: float) -> float | None:
    return round(value, 4) if value < float("inf") else None


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.3g} s"
