"""The engine benchmark's figures: a table for people, flat JSON for everything else."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from rich.console import Console

RATE = re.compile(r"(?:penstock|genai)_(\w+)_c(\d+)_tokens_per_s")
MEMORY = re.compile(r"(?:penstock|genai)_(\w+)_rss_mb")


@dataclass(slots=True)
class Figures:
    """By name, as they are written."""

    values: dict[str, float] = field(default_factory=dict)

    def ratio(self, name: str) -> str:
        """Penstock's value over GenAI's, if both are there."""
        ours, theirs = self.values.get(f"penstock_{name}"), self.values.get(f"genai_{name}")
        return f"{ours / theirs:.2f}" if ours and theirs else ""

    def text(self, name: str, digits: int = 0) -> str:
        value = self.values.get(name)
        return "" if value is None else f"{value:,.{digits}f}"


def show(figures: Figures, console: Console) -> None:
    """Throughput, then memory."""
    table = Table(title="tokens/s, prompts and answers together (2,048 in, 256 out unless --quick)")
    for heading in ("model", "at once", "penstock", "genai", "ratio", "CPU ms/token", "", "ratio"):
        table.add_column(heading, justify="right")
    for configuration, concurrency in _found(RATE, figures):
        name = f"{configuration}_c{concurrency}"
        rate, cpu = f"{name}_tokens_per_s", f"{name}_cpu_ms_per_token"
        table.add_row(
            *(configuration, concurrency),
            *(figures.text(f"penstock_{rate}", 1), figures.text(f"genai_{rate}", 1), figures.ratio(rate)),
            *(figures.text(f"penstock_{cpu}", 3), figures.text(f"genai_{cpu}", 3), figures.ratio(cpu)),
        )
    console.print(table)
    memory = Table(title="memory, MB: peak RSS over the sweep; of it anonymous at its end")
    for heading in ("model", "penstock", "genai", "ratio", "penstock anon", "genai anon"):
        memory.add_column(heading, justify="right")
    for (configuration,) in _found(MEMORY, figures):
        rss, anonymous = f"{configuration}_rss_mb", f"{configuration}_anonymous_mb"
        memory.add_row(
            configuration,
            *(figures.text(f"penstock_{rss}"), figures.text(f"genai_{rss}"), figures.ratio(rss)),
            *(figures.text(f"penstock_{anonymous}"), figures.text(f"genai_{anonymous}")),
        )
    console.print(memory)


def write(figures: Figures, folder: Path, *, partial: bool) -> Path:
    """engine.json, or engine-partial.json for a run that does not have all figures at full size."""
    path = folder / ("engine-partial.json" if partial else "engine.json")
    path.write_text(json.dumps({name: round(value, 3) for name, value in figures.values.items()}, indent=1) + "\n")
    return path


def _found(pattern: re.Pattern[str], figures: Figures) -> Iterable[tuple[str, ...]]:
    """The groups of every name that matches, once, in the order of the figures."""
    return dict.fromkeys(match.groups() for name in figures.values if (match := pattern.fullmatch(name)))
