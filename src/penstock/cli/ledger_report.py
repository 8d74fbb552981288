"""`penstock ledger report`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from penstock.cli.ledger_source import Job, nothing_of, period, told, unwritable, wide_console, write_csv
from penstock.control.ledger_period import kept_since, rows_of
from penstock.domain.errors import DoesNotExist, InvalidParameter
from penstock.domain.ledger_checkpoint import Part
from penstock.domain.ledger_entry import MINUTE_MS
from penstock.domain.ledger_hour import HOUR_MS
from penstock.domain.ledger_minute import Percentiles
from penstock.domain.ledger_moment import told as moment
from penstock.domain.ledger_report import Line, Report
from penstock.ports.store import Unit

PAGE = 1000
MINUTES_UP_TO = 3 * HOUR_MS
STEPS = {"minute": MINUTE_MS, "hour": HOUR_MS}
RATES = ("promised", "offered", "admitted", "attained")
COUNTS = ("requests", "completed", "failed", "cancelled", "rejected", "breaches")
MEASURES = ("ttft", "tpot", "queue")
NAMES = (
    "promised", "offered", "attained", "kept", "requests", "refused", "breaches", "first token", "per token", "queue"
)  # fmt: skip
BRIEF = ("promised", "offered", "attained", "kept", "reqs", "ref.", "br.", "TTFT p99")
WIDE = 150
HEAD = [
    "utc",
    *RATES,
    "kept",
    *COUNTS,
    *(f"{measure}_{part}_ms" for measure in MEASURES for part in ("p50", "p95", "p99")),
]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for, as given."""

    endpoint: str
    since: str
    until: str
    by: str
    csv: Path | None
    png: Path | None


def job(wish: Wish) -> Job:
    """The report; raises InvalidParameter and DoesNotExist."""

    async def run(unit: Unit) -> int:
        since, until = period(wish.since, wish.until)
        if not wish.endpoint:
            raise InvalidParameter("ENDPOINT must be the name or the id of an endpoint.")
        if wish.by not in {"", *STEPS}:
            raise InvalidParameter(f"--by must be minute or hour, but is '{wish.by}'.")
        step_ms = STEPS[wish.by or ("minute" if until - since <= MINUTES_UP_TO else "hour")]
        requests_since = await kept_since(unit, Part.REQUESTS)
        report = Report(since, until, step_ms, requests_since=requests_since)
        await _read(unit, wish.endpoint, report, since, until)
        lines = report.lines()
        _print(wish.endpoint, lines, report.whole())
        if since < requests_since:
            kept = moment(requests_since)
            print(f"Single requests are kept from {kept} on: before that, only minutes have percentiles.")
        if wish.csv:
            write_csv(wish.csv, HEAD, map(_values, lines))
        if wish.png:
            _draw(wish.png, wish.endpoint, lines, step_ms)
        return 0

    return run


async def _read(unit: Unit, endpoint: str, report: Report, since: int, until: int) -> None:
    report.rows(await rows_of(unit, since, until, endpoint, by_hour=False))
    if not report.endpoints:
        raise DoesNotExist(await nothing_of(unit, endpoint))
    after = (since, "")
    while page := await unit.requests.in_ledger(after, limit=PAGE):
        for record in page:
            if record.minute < until:
                report.request(record)
        if page[-1].minute >= until:
            break
        after = (page[-1].minute, page[-1].request_id)


def _print(endpoint: str, lines: Sequence[Line], whole: Line) -> None:
    console = wide_console()
    brief = console.width < WIDE
    parts = "p99" if brief else "p50 / p95 / p99"
    title = f"{endpoint}: tokens per second, milliseconds ({parts})"
    table = Table(title=title, title_justify="left")
    if brief:
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("UTC", no_wrap=True)
    for name in BRIEF if brief else NAMES:
        table.add_column(name, justify="right", no_wrap=True)
    for line in lines:
        table.add_row(told(line.at), *_cells(line, brief=brief))
    table.add_section()
    table.add_row("all", *_cells(whole, brief=brief), style="bold")
    console.print(table)
    if brief:
        console.print(f"A terminal of {WIDE} columns, or --csv, shows more.", style="dim")
    for reason, count in whole.refusals:
        console.print(f"refused {count} times: {reason}", markup=False, highlight=False)


def _cells(line: Line, *, brief: bool) -> Iterator[str]:
    yield from (f"{rate:,.0f}" for rate in (line.promised, line.offered, line.attained))
    yield "" if line.kept is None else f"{line.kept:.1%}"
    yield from (str(count) for count in (line.totals.requests, line.totals.rejected, line.totals.breaches))
    yield from (_percentiles(getattr(line, measure), brief=brief) for measure in MEASURES[: 1 if brief else None])


def _percentiles(given: Percentiles, *, brief: bool) -> str:
    values = (given.p99,) if brief else (given.p50, given.p95, given.p99)
    return "" if given.p50 < 0 else " / ".join(f"{value:,.0f}" for value in values)


def _values(line: Line) -> list[object]:
    """A row of the CSV file."""
    measured = [getattr(getattr(line, measure), part) for measure in MEASURES for part in Percentiles.__slots__]
    return [
        told(line.at),
        *(round(getattr(line, rate), 3) for rate in RATES),
        "" if line.kept is None else round(line.kept, 4),
        *(getattr(line.totals, count) for count in COUNTS),
        *("" if value < 0 else round(value, 3) for value in measured),
    ]


def _draw(path: Path, endpoint: str, lines: Sequence[Line], step_ms: int) -> None:
    from datetime import UTC, datetime

    from matplotlib.figure import Figure

    at = [datetime.fromtimestamp(line.at / 1000, UTC) for line in lines]
    figure = Figure(figsize=(10, 6), layout="constrained")
    rates, first = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    rates.step(at, [line.promised for line in lines], where="post", color="#777777", label="promised")
    rates.step(at, [line.offered for line in lines], where="post", color="#c1440e", linewidth=0.8, label="offered")
    rates.step(at, [line.attained for line in lines], where="post", color="#1f6fb2", label="attained")
    broken = [(when, line.attained) for when, line in zip(at, lines, strict=True) if line.totals.breaches]
    if broken:
        rates.plot([when for when, _ in broken], [rate for _, rate in broken], "rx", label="breach")
    rates.set(ylabel="reference tokens/s", title=f"{endpoint}, by {'minute' if step_ms == MINUTE_MS else 'hour'}")
    measured = [(when, line.ttft) for when, line in zip(at, lines, strict=True) if line.ttft.p50 >= 0]
    for part, style in (("p50", "-"), ("p95", "--"), ("p99", ":")):
        values = [getattr(ttft, part) / 1000 for _, ttft in measured]
        first.plot([when for when, _ in measured], values, style, color="#1f6fb2", label=part)
    first.set(ylabel="time to first token, s")
    figure.autofmt_xdate()
    for axes in (rates, first):
        axes.set_ylim(bottom=0)
        axes.grid(visible=True, color="#dddddd", linewidth=0.6)
        axes.legend(loc="upper right")
    try:
        figure.savefig(path, format="png", dpi=130)
    except OSError as error:
        raise unwritable(path, error) from error
