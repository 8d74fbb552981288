"""A measurement as JSON: reports, and the rows they were made of."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from penstock.domain.profile import Point, knee
from penstock.load.report import Report
from penstock.load.row import Row


def document(endpoint: str, reports: Sequence[Report]) -> dict[str, Any]:
    """The reports of a measurement, with the knee of the curve when it is one."""
    best = curve_knee(reports)
    return {
        "endpoint": endpoint,
        "knee": None if best is None else {"parallel": best.parallel, "tokens_per_s": best.tokens_per_s},
        "runs": msgspec.to_builtins(list(reports)),
    }


def curve_knee(reports: Sequence[Report]) -> Point | None:
    """The knee of a closed-loop sweep, found as the profiler finds it; None if there is no curve."""
    points = [
        Point(one.parallel, one.tokens_per_s, one.latency.p50, one.ttft.p50 if one.ttft else 0.0)
        for one in reports
        if one.parallel is not None and one.latency is not None
    ]
    return knee(points) if len(points) > 1 else None


def row_lines(rows: Iterable[Row]) -> bytes:
    """The rows as JSONL."""
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
