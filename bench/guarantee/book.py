"""What was measured, in files: flat figures, and the series behind the pictures, one file for each run."""

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from guarantee.market import Way
from guarantee.runs import Run, failed, outcomes, rank, refused_below, ttft, work
from guarantee.windows import series

WINDOWS_S = (10, 60)


@dataclass(frozen=True, slots=True)
class Record:
    """A run as the report shows it.

    `attained`: for windows of 10 and 60 s, their ends, attained / bought of the well-behaved one that has least.
    """

    prefix: str
    title: str
    load: float
    way: str
    at: float
    seconds: float
    start: float
    speed: float
    others: float
    repeats: int
    work_over_t: float
    refused_below: int
    failed: int
    outcomes: Mapping[str, int]
    ttft_s: Sequence[float]
    attained: Mapping[str, tuple[list[float], list[float]]]

    @property
    def name(self) -> str:
        """That of its file."""
        return f"{self.prefix}{self.load:g}{self.way}"

    def ttft_rank(self, percent: float) -> float:
        """A percentile of the time to first token."""
        return rank(self.ttft_s, percent)


def record(found: Run, prefix: str, title: str, way: Way) -> Record:
    """The record of a run."""
    lines = {}
    for window_s in WINDOWS_S:
        each = [series(part.curve(found.start, found.end), part.tenant.bought, window_s) for part in found.own]
        least = [min(values) for values in zip(*(values for _, values in each), strict=True)]
        lines[str(window_s)] = (each[0][0], least)
    return Record(
        prefix=prefix,
        title=title,
        load=found.own[0].side.load,
        way=way.value,
        at=time.time(),
        seconds=found.end,
        start=found.start,
        speed=found.speed,
        others=found.others,
        repeats=found.repeats,
        work_over_t=work(found),
        refused_below=refused_below(found),
        failed=failed(found),
        outcomes=outcomes(found),
        ttft_s=ttft(found),
        attained=lines,
    )


class Book:
    """The figures and records in a folder, those of earlier runs of the benchmark too."""

    def __init__(self, folder: Path, *, fresh: bool = False) -> None:
        self.folder = folder
        self.path = folder / "guarantee.json"
        self._runs = folder / "guarantee-runs"
        self._runs.mkdir(parents=True, exist_ok=True)
        if fresh:
            self.path.unlink(missing_ok=True)
            for path in self._runs.glob("*.json"):
                path.unlink()
        self.figures: dict[str, float] = {}
        self.read()

    def read(self) -> None:
        """Takes over the figures in the file: other programs write there too."""
        self.figures = json.loads(self.path.read_text()) if self.path.exists() else {}

    def note(self, figures: Mapping[str, float]) -> None:
        """Keeps figures that were measured; one that could not be is dropped, an old one of its name too."""
        for key, value in figures.items():
            if math.isfinite(value):
                self.figures[key] = round(value, 4) if isinstance(value, float) else value
            else:
                self.figures.pop(key, None)
        self.path.write_text(json.dumps(self.figures, indent=1, sort_keys=True) + "\n")

    def add(self, found: Record) -> None:
        """Keeps the record of a run in place of an earlier one of the same."""
        (self._runs / f"{found.name}.json").write_text(json.dumps(asdict(found)) + "\n")

    def records(self) -> list[Record]:
        """All runs, in the order in which they were made; not those of another version of the benchmark."""
        names = {field.name for field in fields(Record)}
        kept = [json.loads(path.read_text()) for path in self._runs.glob("*.json")]
        found = [Record(**one) for one in kept if one.keys() == names]
        return sorted(found, key=lambda one: one.at)
