"""What `penstock load` shows: a live line for each run, and the table at the end."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from penstock.load.document import curve_knee
from penstock.load.report import Report, Spread
from penstock.load.row import Outcome, Row

COLUMNS = ("requests\n/s", "tokens\n/s", "TTFT\np50", "s\np99", "TPOT\np50", "latency\np50", "s\np99")
LATE_S = 0.1
"""A client that is later than this was itself too slow."""


class Screen:
    """Counts rows as they end and shows them. With `quiet`, only on standard error."""

    def __init__(self, endpoint: str, *, quiet: bool = False) -> None:
        self._endpoint = endpoint
        self._console = Console(stderr=quiet)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(20),
            TimeRemainingColumn(),
            TextColumn("{task.fields[told]}"),
            console=self._console,
        )
        self._task = TaskID(0)
        self._counts = dict.fromkeys(Outcome, 0)
        self._tokens = 0
        self._last = 0.0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begin(self, name: str, seconds: float) -> None:
        """A run begins."""
        self._counts = dict.fromkeys(Outcome, 0)
        self._tokens = 0
        self._task = self._progress.add_task(name, total=seconds, told="")

    def seen(self, row: Row) -> None:
        """A request has ended."""
        self._counts[row.outcome] += 1
        self._tokens += row.tokens_in + row.tokens_out
        elapsed = self._progress.tasks[-1].elapsed or 0.0
        told = ", ".join(f"{count} {kind.value}" for kind, count in self._counts.items() if count)
        rate = f"{self._tokens / elapsed:.0f} tokens/s" if elapsed > 0 else ""
        self._progress.update(
            self._task, completed=min(elapsed, self._progress.tasks[-1].total or 0), told=f"{told}  {rate}"
        )

    def end(self, report: Report) -> None:
        """A run has ended."""
        told = ", ".join(f"{count} {kind}" for kind, count in report.outcomes.items() if count) or "nothing sent"
        self._progress.update(self._task, completed=report.seconds, told=f"{told}  {report.tokens_per_s:.0f} tokens/s")

    def table(self, reports: Sequence[Report]) -> None:
        """All runs, and what has to be said about them."""
        limits = any(report.goodput is not None for report in reports)
        table = Table(
            "load",
            *COLUMNS,
            *(["good\n/s", "\ngood"] if limits else []),
            title=self._endpoint,
            box=SIMPLE_HEAD,
            padding=0,
        )
        for report in reports:
            table.add_row(*_cells(report), *(_good(report) if limits else []))
        self._console.print(table)
        best = curve_knee(reports)
        if best is not None:
            self._console.print(f"Knee of the curve: {best.tokens_per_s:.0f} tokens/s at {best.parallel} in parallel.")
        for report in reports:
            for remark in remarks(report):
                self._console.print(f"{report.arrivals}: {remark}")


def remarks(report: Report) -> list[str]:
    """Sentences about what is not as it should be."""
    told = []
    unserved = [f"{count} {kind}" for kind, count in report.outcomes.items() if count and kind not in {"done", "left"}]
    if unserved:
        told.append(f"of {report.requests} attempts {', '.join(unserved)}.")
    if report.first_retry_accepted is not None:
        told.append(f"{report.first_retry_accepted:.0%} of first retries were accepted.")
    if report.ttft is None and report.latency is not None:
        told.append("answers came whole: time to first token and per token do not apply.")
    if report.short:
        told.append("shorter than three requests one after another; the figures are rough.")
    if report.late_s > LATE_S:
        told.append(f"the client itself was up to {report.late_s:.2f} s late in sending: it is too slow for this load.")
    return told


def _cells(report: Report) -> list[str]:
    return [
        report.arrivals,
        f"{report.requests_per_s:.2f}",
        f"{report.tokens_per_s:.0f}",
        *_times(report.ttft),
        _times(report.tpot)[0],
        *_times(report.latency),
    ]


def _times(found: Spread | None) -> tuple[str, str]:
    return ("-", "-") if found is None else (f"{found.p50:.3f}", f"{found.p99:.3f}")


def _good(report: Report) -> list[str]:
    kept = "-" if report.kept is None else f"{report.kept:.1%}"
    return [f"{report.goodput or 0:.2f}", kept]
