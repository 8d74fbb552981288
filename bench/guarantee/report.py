"""The report: what is in the book, as a page with pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from guarantee.book import Book, Record
from guarantee.market import Way
from processes import machine

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {Way.GATE: "#1f6fb2", Way.NO_GATE: "#c1440e", Way.BUCKETS: "#777777"}
NAMES = {Way.GATE: "gate", Way.NO_GATE: "no gate", Way.BUCKETS: "tokens per minute"}
AIM = {"60": 0.99, "10": 0.95}
COLUMNS = (
    "run",
    "offers",
    "through",
    "attained, least 60 s",
    "least 10 s",
    "TTFT p50",
    "TTFT p99",
    "refused below",
    "failed",
    "work / T",
    "speed",
    "others",
    "again",
)
RUNS_NOTE = """\
Attained is done / bought, whatever was offered; of several well-behaved endpoints the least. Speed is the machine's
before and after the run, the lesser, as a part of the best that was seen; others are cores that other programs had;
again is how often the run was repeated because of them."""
AIMS = (
    ("neighbour_attained_min", ">= 0.99"),
    ("neighbour_attained_min_10s", ">= 0.95"),
    ("neighbour_served_of_offered", ">= 0.97"),
    ("neighbour_ttft_p99_s", "<= 1"),
    ("neighbour_ttft_p99_ratio", "<= 3"),
    ("refusals_below_allotment", "0"),
    ("device_busy", ">= 0.98"),
    ("work_over_t", ">= 0.98"),
    ("jain_excess", ">= 0.98"),
    ("first_retry_accepted", ">= 0.6"),
    ("cost_model_error_mean", "<= 0.08"),
    ("cost_model_error_worst", "<= 0.15"),
    ("batch_estimate_error", "<= 0.1"),
    ("planner_throughput_error", "<= 0.05"),
    ("planner_ttft_error", "<= 0.3"),
    ("planner_ttft_p50_error", "<= 0.25"),
    ("planner_busy_throughput_error", "<= 0.05"),
    ("planner_busy_ttft_error", "<= 0.3"),
    ("planner_busy_ttft_p50_error", "<= 0.25"),
    ("gate_us_1", "<= 20"),
    ("gate_us_100", "<= 20"),
    ("gate_us_1000", "<= 20"),
    ("gate_us_100_p99", "<= 100"),
    ("gate_bytes_per_waiting", ""),
)


def write(book: Book) -> Path:
    """Writes the page and its pictures beside the figures; returns the page."""
    records = book.records()
    gated = [one for one in records if one.way == Way.GATE]
    if gated:
        # Above the allotment a refusal is no fault, and what is within it then is a matter of a request's last percent.
        below = sum(one.refused_below for one in gated if one.load < 1)
        book.note({"refusals_below_allotment": below + sum(one.failed for one in gated)})
    pictures = _pictures(book, records)
    path = book.folder / "guarantee.md"
    path.write_text("\n".join([*_head(book), *_runs(records), *_aims(book), *_all(book), *pictures]) + "\n")
    return path


def _head(book: Book) -> list[str]:
    figures = book.figures
    lines = ["# The guarantee, measured", "", f"On {machine()}.", ""]
    if "t" in figures:
        t, knee, chunk = figures["t"], figures["knee"], figures["chunk"]
        lines += [f"T = {t:,.0f} reference tokens/s at {knee:.0f} in parallel; sold in chunks of {chunk:,.0f}.", ""]
    return lines


def _runs(records: Sequence[Record]) -> list[str]:
    if not records:
        return []
    lines = [
        "## Runs",
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|---" * len(COLUMNS) + "|",
    ]
    for one in records:
        least = {window: min(values, default=None) for window, (_, values) in one.attained.items()}
        cells = [
            f"{one.prefix.rstrip('_')}: {one.title}",
            f"{one.load:.0%}",
            NAMES[Way(one.way)],
            _shown(least["60"]),
            _shown(least["10"]),
            f"{one.ttft_rank(50):.2f} s",
            f"{one.ttft_rank(99):.2f} s",
            str(one.refused_below) if one.load < 1 else "",
            str(one.failed),
            f"{one.work_over_t:.2f}",
            f"{one.speed:.2f}",
            f"{one.others:.2f}",
            str(one.repeats),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, "", RUNS_NOTE, ""]


def _aims(book: Book) -> list[str]:
    rows = [(name, aim) for name, aim in AIMS if name in book.figures]
    if not rows:
        return []
    lines = ["## Aims", "", "| figure | measured | aim |", "|---|---|---|"]
    return [*lines, *(f"| {name} | {book.figures[name]:g} | {aim} |" for name, aim in rows), ""]


def _all(book: Book) -> list[str]:
    lines = ["## All figures", "", "| figure | |", "|---|---|"]
    return [*lines, *(f"| {name} | {value:g} |" for name, value in sorted(book.figures.items())), ""]


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _pictures(book: Book, records: Sequence[Record]) -> list[str]:
    lines = ["## Pictures", ""]
    for prefix in dict.fromkeys(one.prefix for one in records if one.load > 1):
        chosen = [one for one in records if one.prefix == prefix and one.load > 1]
        lines += [_windows(book.folder, prefix, chosen)]
    timed = [one for one in records if one.load < 1]
    if timed:
        lines += [_first_tokens(book.folder, timed)]
    if "jain_excess" in book.figures:
        lines += [_excess(book)]
    return lines


def _windows(folder: Path, prefix: str, records: Sequence[Record]) -> str:
    """Attained / bought over time, in windows of 10 and 60 s."""
    figure, (left, right) = _axes()
    for one in records:
        way = Way(one.way)
        for axes, window in ((left, "10"), (right, "60")):
            ends, values = one.attained[window]
            axes.plot(ends, values, color=COLOURS[way], label=NAMES[way])
    for axes, window in ((left, "10"), (right, "60")):
        axes.axhline(AIM[window], color="#999999", linestyle=":", linewidth=1)
        axes.set(xlabel="end of the window, s", title=f"Windows of {window} s")
        _finish(axes)
    left.set_ylabel("attained / bought")
    figure.suptitle(f"{prefix.rstrip('_')}: {records[0].title}")
    return _saved(figure, folder, f"guarantee-{prefix.rstrip('_')}.png")


def _first_tokens(folder: Path, records: Sequence[Record]) -> str:
    """Which part of first tokens came within how long."""
    figure, (left, right) = _axes()
    for axes, chosen in (
        (left, [one for one in records if one.prefix in {"neighbour_", "alone_"}]),
        (right, [one for one in records if one.prefix not in {"neighbour_", "alone_"}]),
    ):
        for one in chosen:
            parts = [(number + 1) / len(one.ttft_s) for number in range(len(one.ttft_s))]
            name = f"{one.prefix.rstrip('_')}, {NAMES[Way(one.way)]}"
            axes.step([max(value, 0.001) for value in one.ttft_s], parts, where="post", label=name)
        axes.set(xscale="log", xlabel="time to first token, s", ylabel="part of requests")
        _finish(axes)
    figure.suptitle("Time to first token of an endpoint at 80 % of its allotment")
    return _saved(figure, folder, "guarantee-ttft.png")


def _excess(book: Book) -> str:
    """What two greedy endpoints got beyond what they had bought."""
    figure, (left, right) = _axes()
    names = ["small", "large"]
    left.bar(names, [book.figures[f"excess_{name}_over_bought"] for name in names], color=COLOURS[Way.GATE])
    left.set(ylabel="excess / bought", title=f"Jain index {book.figures['jain_excess']:.3f}")
    kinds = [key for key in ("work_over_t", "device_busy", "device_computing") if key in book.figures]
    right.bar(kinds, [book.figures[key] for key in kinds], color=COLOURS[Way.GATE])
    right.axhline(0.98, color="#999999", linestyle=":", linewidth=1)
    figure.suptitle("What nobody bought, lent to two endpoints of different size that want all there is")
    return _saved(figure, book.folder, "guarantee-excess.png")


def _axes() -> "tuple[Figure, tuple[Axes, Axes]]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    return figure, (left, right)


def _finish(axes: "Axes") -> None:
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    axes.set_ylim(bottom=0)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8)


def _saved(figure: "Figure", folder: Path, name: str) -> str:
    figure.savefig(folder / name, dpi=110)
    return f"![{name}]({name})"
