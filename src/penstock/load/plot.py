"""The picture of a measurement: the throughput-latency curve of a sweep, or what one run did second by second."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.load.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, RED, GREY = "#1f6fb2", "#c1440e", "#777777"


def draw(path: Path, reports: Sequence[Report], title: str) -> None:
    """Writes a PNG of one or more runs; several are points of one curve."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    figure.suptitle(title)
    if len(reports) > 1:
        _curve(left, reports)
        _first_tokens(right, reports)
    else:
        _seconds(left, reports[0])
        _percentiles(right, reports[0])
    for axes in (left, right):
        axes.grid(visible=True, color="#dddddd", linewidth=0.6)
        axes.set_ylim(bottom=0)
    figure.savefig(path, format="png", dpi=130)


def _curve(axes: "Axes", reports: Sequence[Report]) -> None:
    points = [(one.tokens_per_s, one.latency, one.parallel) for one in reports]
    known = [(rate, latency, parallel) for rate, latency, parallel in points if latency is not None]
    rates = [rate for rate, _, _ in known]
    axes.plot(rates, [latency.p50 for _, latency, _ in known], "o-", color=BLUE, label="median")
    axes.plot(rates, [latency.p99 for _, latency, _ in known], "o--", color=RED, label="99th percentile")
    for rate, latency, parallel in known:
        axes.annotate(str(parallel), (rate, latency.p50), textcoords="offset points", xytext=(4, -11), color=GREY)
    axes.set(xlabel="tokens/s, input and output", ylabel="latency, s", title="Figures: requests at a time")
    axes.legend()


def _first_tokens(axes: "Axes", reports: Sequence[Report]) -> None:
    known = [(one.parallel, one.ttft) for one in reports if one.ttft is not None]
    at = [str(parallel) for parallel, _ in known]
    if not known:
        axes.plot([str(one.parallel) for one in reports], [one.tokens_per_s for one in reports], "o-", color=BLUE)
        axes.set(xlabel="requests at a time", ylabel="tokens/s", title="Throughput (there is no first token)")
        return
    axes.plot(at, [ttft.p50 for _, ttft in known], "o-", color=BLUE, label="time to first token, median, s")
    axes.plot(at, [ttft.p99 for _, ttft in known], "o--", color=RED, label="99th percentile, s")
    axes.set(xlabel="requests at a time", ylabel="s", title="Time to first token")
    axes.legend()


def _seconds(axes: "Axes", report: Report) -> None:
    axes.step(range(len(report.timeline)), report.timeline, where="post", color=BLUE)
    axes.axhline(report.tokens_per_s, color=RED, linestyle="--", label=f"{report.tokens_per_s:.0f} tokens/s")
    axes.axvspan(0, report.warm_s, color="#eeeeee", label="warm-up")
    axes.set(xlabel="s", ylabel="tokens/s, input and output", title=report.arrivals)
    axes.legend()


def _percentiles(axes: "Axes", report: Report) -> None:
    for row, (name, found) in enumerate({"first token": report.ttft, "whole answer": report.latency}.items()):
        if found is not None:
            heights = [found.p50, found.p90, found.p99]
            axes.bar([x + 0.4 * row for x in range(3)], heights, 0.38, color=(BLUE, RED)[row], label=name)
    axes.set_xticks([0.2, 1.2, 2.2], ["median", "90 %", "99 %"])
    axes.set(ylabel="s", title="Seconds a request took")
    if axes.get_legend_handles_labels()[0]:
        axes.legend()
