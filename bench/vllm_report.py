"""What the comparison with vLLM found: a table for people, flat JSON for everything else."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.table import Table

from penstock.load.report import percentile
from penstock.load.row import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from guarantee.market import Ware
    from penstock.load.row import Row


@dataclass(frozen=True, slots=True)
class Taken:
    """One side's turn. `cores` are those that its processes used on average, `gateway` those of the server alone."""

    waves: Sequence[Sequence[Row]]
    cores: float
    gateway: float

    @property
    def rows(self) -> list[Row]:
        """Of all waves."""
        return [row for wave in self.waves for row in wave]

    @property
    def tokens_per_s(self) -> float:
        """Tokens of whole answers over the seconds of the waves, from the first request to the end of the last."""
        seconds = sum(max(row.ended_at for row in wave) - min(row.sent_at for row in wave) for wave in self.waves)
        return sum(row.tokens_in + row.tokens_out for row in self.rows if row.served) / seconds


@dataclass(slots=True)
class Found:
    """All turns by side and number at a time, in the order of the rounds. Memory is in MB of 2**20 bytes."""

    turns: dict[tuple[str, int], list[Taken]] = field(default_factory=dict)
    wares: dict[str, Ware] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)
    gateway_memory: dict[str, float] = field(default_factory=dict)
    neighbour: dict[str, float] = field(default_factory=dict)

    def add(self, side: str, parallel: int, taken: Taken) -> None:
        """Keeps one turn."""
        self.turns.setdefault((side, parallel), []).append(taken)

    def ratios(self, side: str, parallel: int) -> list[float]:
        """Tokens/s over those of bare vLLM, round by round."""
        pairs = zip(self.turns.get((side, parallel), ()), self.turns.get(("bare", parallel), ()), strict=False)
        return [one.tokens_per_s / other.tokens_per_s for one, other in pairs if other.tokens_per_s]

    @property
    def numbers(self) -> list[int]:
        """How many at a time."""
        return sorted({parallel for _, parallel in self.turns})

    @property
    def sides(self) -> list[str]:
        """Who was asked."""
        return list(dict.fromkeys(side for side, _ in self.turns))


def figures(found: Found) -> dict[str, float]:
    """Flat; what could not be measured is left out."""
    values: dict[str, float] = {}
    for (side, parallel), turns in sorted(found.turns.items()):
        values.update({f"{side}_c{parallel}_{name}": value for name, value in _of_turns(turns).items()})
        if side != "bare" and (ratios := found.ratios(side, parallel)):
            name = f"{side}_c{parallel}_over_bare"
            values.update({name: statistics.median(ratios), f"{name}_least": min(ratios), f"{name}_most": max(ratios)})
    for side, ware in found.wares.items():
        sold = float(ware.chunk * ware.slices)
        values.update({f"{side}_t": ware.throughput, f"{side}_knee": float(ware.profile["knee"]), f"{side}_sold": sold})
        best = {
            one: max((values[f"{one}_c{n}_tokens_per_s"] for n in found.numbers), default=math.nan)
            for one in {side, "bare"} & set(found.sides)
        }
        values.update({f"{one}_best_over_{side}_sold": rate / sold for one, rate in best.items()})
    values.update({f"{side}_peak_rss_mb": value for side, value in found.memory.items()})
    values.update({f"{side}_gateway_peak_rss_mb": value for side, value in found.gateway_memory.items()})
    return values | found.neighbour


def _of_turns(turns: Sequence[Taken]) -> dict[str, float]:
    rows = [row for one in turns for row in one.rows]
    first = [row.ttft_s for row in rows if row.served and row.ttft_s is not None]
    each = [row.tpot_s for row in rows if row.served and row.tpot_s is not None]
    values = {
        "tokens_per_s": statistics.median(one.tokens_per_s for one in turns),
        "cores": statistics.fmean(one.cores for one in turns),
        "gateway_cores": statistics.fmean(one.gateway for one in turns),
        "requests": len(rows),
        "refused": sum(row.outcome is Outcome.REFUSED for row in rows),
        "failed": sum(row.outcome in {Outcome.FAILED, Outcome.INVALID} for row in rows),
    }
    if first:
        values |= {"ttft_p50_s": percentile(first, 50), "ttft_p99_s": percentile(first, 99)}
    if each:
        values |= {"tpot_p50_s": percentile(each, 50)}
    return values


def show(found: Found, console: Console) -> None:
    """Speed, then what is sold and what it takes."""
    values = figures(found)
    table = Table(title="the reference workload, streamed; ratios: median of the rounds, least and most")
    for heading in ("at a time", "side", "tokens/s", "/ bare", "TTFT p50, p99 s", "TPOT ms", "cores", "gateway"):
        table.add_column(heading, justify="right")
    table.add_column("refused, failed of")
    for parallel in found.numbers:
        for side in found.sides:
            table.add_row(str(parallel), side, *_row(values, f"{side}_c{parallel}"))
    console.print(table)
    for side, ware in found.wares.items():
        best = [
            f"{one} attained {values[name]:.2f}"
            for one in (side, "bare")
            if (name := f"{one}_best_over_{side}_sold") in values
        ]
        console.print(
            f"{side}: T {ware.throughput:,.0f} at {ware.profile['knee']}, sold {values[f'{side}_sold']:,.0f} tokens/s;"
            f" at best {', '.join(best)} of that; the gateway's memory {found.gateway_memory[side]:,.0f} MB at most"
        )
    console.print("memory at most, MB: " + ", ".join(f"{side} {value:,.0f}" for side, value in found.memory.items()))


def _row(values: dict[str, float], name: str) -> list[str]:
    ratio = ""
    if f"{name}_over_bare" in values:
        least, middle, most = (values[f"{name}_over_bare{end}"] for end in ("_least", "", "_most"))
        ratio = f"{middle:.3f} ({least:.3f} .. {most:.3f})"
    first, tail, each = (values.get(f"{name}_{key}", math.nan) for key in ("ttft_p50_s", "ttft_p99_s", "tpot_p50_s"))
    return [
        f"{values[f'{name}_tokens_per_s']:,.0f}",
        ratio,
        f"{first:.2f}, {tail:.2f}",
        f"{1000 * each:.1f}",
        f"{values[f'{name}_cores']:.2f}",
        f"{values[f'{name}_gateway_cores']:.2f}",
        f"{values[f'{name}_refused']:.0f}, {values[f'{name}_failed']:.0f} of {values[f'{name}_requests']:.0f}",
    ]


def write(found: Found, folder: Path) -> Path:
    """vllm.json."""
    path = folder / "vllm.json"
    kept = {name: round(value, 4) for name, value in figures(found).items() if math.isfinite(value)}
    path.write_text(json.dumps(kept, indent=1) + "\n")
    return path
