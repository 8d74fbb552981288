"""What is made of the measurements: medians of waves, differences to the upstream itself, and a table of them."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway import Run

Runs = Mapping[tuple[str, int], Sequence[Run]]
"""By side and connections."""
SIDES = ("penstock", "litellm", "nginx")


@dataclass(frozen=True)
class Streamed:
    """One wave of streams: the median time to the first token, and chunks in its seconds.

    `cpu_s` is what the gateway took of its core, 0 where nobody asks; `begun` is the part of the streams whose answer
    began before its end.
    """

    ttft_ms: float
    chunks: int
    seconds: float
    cpu_s: float = 0.0
    begun: float = 1.0

    @property
    def per_s(self) -> float:
        """Chunks that were delivered per second."""
        return self.chunks / self.seconds

    @property
    def per_core(self) -> float:
        """Chunks per second of the gateway's processor time."""
        return self.chunks / self.cpu_s if self.cpu_s > 0 else 0.0


def whole_figures(runs: Runs) -> dict[str, float]:
    """Requests per second of each side, and what it adds to the upstream's own median at one connection."""
    found: dict[str, float] = {}
    for side in SIDES:
        for connections in sorted({count for name, count in runs if name == side}):
            found[f"{side}_c{connections}_rps"] = round(_median(runs[side, connections], "rps"), 1)
        if (side, 1) in runs:
            added = _median(runs[side, 1], "p50_ms") - _median(runs["direct", 1], "p50_ms")
            found[f"{side}_added_p50_ms"] = round(added, 4)
    return found


def stream_figures(waves: Mapping[str, Sequence[Streamed]]) -> dict[str, float]:
    """The same of streams. Penstock's have no prefix, the others' have theirs."""
    found: dict[str, float] = {}
    direct = _median(waves["direct"], "ttft_ms")
    found["stream_direct_ttft_p50_ms"] = round(direct, 3)
    for side in SIDES:
        if side not in waves:
            continue
        name = "" if side == "penstock" else f"{side}_"
        found[f"{name}stream_added_ttft_p50_ms"] = round(_median(waves[side], "ttft_ms") - direct, 3)
        found[f"{name}stream_delivered_per_s"] = round(_median(waves[side], "per_s"), 1)
        found[f"{name}stream_begun"] = round(_median(waves[side], "begun"), 4)
        if waves[side][0].cpu_s:
            found[f"{name}stream_chunks_per_s"] = round(_median(waves[side], "per_core"), 1)
    return found


def processor_figures(took: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Microseconds of processor time for each request: this hardly depends on what else the machine does."""
    return {f"{side}_cpu_us": round(statistics.median(values), 1) for side, values in took.items()}


def table(figures: Mapping[str, object]) -> list[str]:
    """Lines for people."""
    lines = [f"{'':10}{'1 conn. req/s':>15}{'16 conn. req/s':>16}{'added p50 ms':>14}{'added TTFT ms':>15}"]
    lines[0] += f"{'chunks/s':>10}{'per core':>10}"
    for side in SIDES:
        if f"{side}_c1_rps" not in figures:
            continue
        name = "" if side == "penstock" else f"{side}_"
        cells = (
            (f"{side}_c1_rps", 15),
            (f"{side}_c16_rps", 16),
            (f"{side}_added_p50_ms", 14),
            (f"{name}stream_added_ttft_p50_ms", 15),
            (f"{name}stream_delivered_per_s", 10),
            (f"{name}stream_chunks_per_s", 10),
        )
        lines.append(f"{side:10}" + "".join(f"{_cell(figures.get(key)):>{width}}" for key, width in cells))
    if "litellm_c16_rps" in figures:
        ratios = (_ratio(figures, "c1_rps"), _ratio(figures, "c16_rps"))
        lines.append(f"penstock / litellm: {ratios[0]:.1f} at 1 connection, {ratios[1]:.1f} at 16")
    for key, value in figures.items():
        if key.endswith("_cpu_us"):
            lines.append(f"{key.removesuffix('_cpu_us')}: {_cell(value)} us of processor time for each request")
    lines.append(
        "memory, MB: " + ", ".join(f"{key} {_cell(value)}" for key, value in figures.items() if "rss_mb" in key)
    )
    return lines


def draw(figures: Mapping[str, object], path: Path) -> bool:
    """Bars of requests per second and of what is added, if matplotlib is there; whether it is."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    sides = [side for side in SIDES if f"{side}_c16_rps" in figures]
    figure = Figure((11, 3.4), layout="constrained")
    charts = (
        ("requests/s, 16 connections", [figures[f"{side}_c16_rps"] for side in sides]),
        ("added at the median, ms", [figures[f"{side}_added_p50_ms"] for side in sides]),
        ("added to the first token of streams, ms", [_added_ttft(figures, side) for side in sides]),
    )
    for axis, (title, heights) in zip(figure.subplots(1, len(charts)), charts, strict=True):
        bars = axis.bar(sides, heights, color=["#1a6fb0", "#b9b9b9", "#d8d8d8"][: len(sides)])
        axis.bar_label(bars, [_cell(value) for value in heights])
        axis.margins(y=0.1)
        axis.set_yscale("symlog", linthresh=0.1)
        axis.set_title(title)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    return True


def _added_ttft(figures: Mapping[str, object], side: str) -> object:
    return figures.get("stream_added_ttft_p50_ms" if side == "penstock" else f"{side}_stream_added_ttft_p50_ms", 0)


def _ratio(figures: Mapping[str, object], key: str) -> float:
    return float(str(figures[f"penstock_{key}"])) / float(str(figures[f"litellm_{key}"]))


def _median(runs: Sequence[object], name: str) -> float:
    return statistics.median(getattr(run, name) for run in runs)


def _cell(value: object) -> str:
    if not isinstance(value, int | float):
        return "-"
    return f"{value:,.3g}" if abs(value) < 100 else f"{value:,.0f}"
