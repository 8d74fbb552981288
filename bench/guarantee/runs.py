"""One run of a scenario against a real server, and the figures of it."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from guarantee.engine import VOCABULARY
from guarantee.scenario import Side
from guarantee.windows import least_attained, least_of_demand, wrongly_refused
from guarantee.work import Curve, Scale, curve
from penstock.load.arrivals import Gaps, Replay
from penstock.load.prompts import Ids
from penstock.load.report import percentile
from penstock.load.row import Outcome, Row
from penstock.load.runner import Retry, run
from penstock.load.target import Target
from penstock.load.workload import Workload

REFERENCE_OUT = 256
LOST = frozenset({Outcome.REFUSED, Outcome.INVALID, Outcome.FAILED})


@dataclass(frozen=True, slots=True)
class Tenant:
    """Where a tenant's requests go, what it bought in tokens/s, and what they cost.

    `residence_s` is how long a reference request takes at the knee.
    """

    target: Target
    bought: float
    scale: Scale
    residence_s: float

    def requests_per_s(self, side: Side) -> float:
        """How many requests a second are that side's load."""
        return side.load * self.bought / self.scale.tokens(side.ask.tokens_in, side.ask.tokens_out)

    def lag_s(self, tokens_out: float) -> float:
        """How long such an answer may take before it is late: twice the residence, more for long ones."""
        return 2 * self.residence_s * max(1.0, tokens_out / REFERENCE_OUT)


@dataclass(frozen=True, slots=True)
class Part:
    """One tenant's part in a run. `own`: it behaves well, and figures are about it."""

    side: Side
    tenant: Tenant
    own: bool
    rows: Sequence[Row] = ()

    def curve(self, start: float, end: float) -> Curve:
        """What was offered and done."""
        return curve(self.rows, self.tenant.scale, start, end)


@dataclass(frozen=True, slots=True)
class Run:
    """What became of it. Seconds from `start` to `end` count; `origin` is second 0 on the event loop's clock.

    `speed` is that of the machine, as a part of the best that was seen, the lesser of before and after; `others` are
    the cores that others had meanwhile. `repeats`: how often it was run again because the machine was disturbed.
    """

    parts: Sequence[Part]
    start: float
    end: float
    origin: float
    speed: float = 1.0
    others: float = 0.0
    repeats: int = 0

    @property
    def own(self) -> Sequence[Part]:
        """Those who behave well."""
        return [part for part in self.parts if part.own]


async def drive(parts: Sequence[Part], start: float, end: float, *, retry: Retry | None = None) -> Run:
    """Puts all loads on at once, for `end` seconds, of which the first `start` do not count.

    What is under way then is waited for only while it could still be in time.
    """
    origin = asyncio.get_running_loop().time() + 0.5
    drain_s = max((_drain_s(part) for part in parts if part.own), default=0.0)
    loads = []
    for seed, part in enumerate(parts, 1):
        side, tenant = part.side, part.tenant
        gaps = Gaps(tenant.requests_per_s(side), side.cv, seed)
        loads.append(
            run(
                tenant.target,
                Workload(tuple(side.asks(seed))),
                Replay(tuple(_times(gaps, end, (start, start + side.quiet_s)))),
                end,
                prompts=Ids(2, VOCABULARY),
                # The neighbour's backlog is cut at once: nobody asks what becomes of it.
                drain_s=drain_s if part.own else 0.0,
                retry=retry,
                origin=origin,
            )
        )
    found = await asyncio.gather(*loads)
    ended = [replace(part, rows=results.rows) for part, results in zip(parts, found, strict=True)]
    return Run(ended, start, end, origin)


def _drain_s(part: Part) -> float:
    """Above the allotment only what was under way is waited for: how late the rest is does not matter."""
    return part.tenant.lag_s(part.side.longest) if part.side.load < 1 else part.tenant.residence_s


def _times(gaps: Gaps, end: float, quiet: tuple[float, float]) -> list[float]:
    found = []
    for at in gaps.times():
        if at >= end:
            break
        if not quiet[0] <= at < quiet[1]:
            found.append(at)
    return found


def attained(found: Run, window_s: float, *, own: bool = True) -> float:
    """The least attained / bought over windows of that length, of whoever has least; nan without such a window.

    Where there is not always demand, against what the promised rate would have done of it.
    """
    values = []
    for part in found.parts:
        if part.own is not own:
            continue
        line, bought = part.curve(found.start, found.end), part.tenant.bought
        if part.side.steady:
            values.append(least_attained(line, bought, window_s))
        else:
            values.append(least_of_demand(line, bought, window_s, part.tenant.residence_s))
    return min(values, default=math.nan)


def served(found: Run) -> float:
    """Of the work that was offered early enough to be done in time, the part that was; of whoever has least.

    In time is within twice a reference request's residence, longer for long answers.
    """
    values = []
    for part in found.own:
        tenant, usual = part.tenant, part.side.ask.tokens_out
        scale, until = tenant.scale, found.end - tenant.lag_s(usual)
        sent = [row for row in part.rows if found.start <= row.sent_at < until and not row.attempt]
        offered = sum(scale.offered(row) for row in sent)
        done = sum(scale.done_by(row, row.sent_at + tenant.lag_s(max(usual, row.tokens_out))) for row in sent)
        values.append(done / offered if offered else math.nan)
    return min(values, default=math.nan)


def ttft(found: Run) -> list[float]:
    """Times to first token of those who behave well; of requests cut before it, how long they had waited."""
    values = []
    for part in found.own:
        for row in part.rows:
            if row.sent_at < found.start or row.outcome in LOST:
                continue
            values.append(row.ended_at - row.sent_at if row.ttft_s is None else row.ttft_s)
    return sorted(values)


def rank(values: Sequence[float], percent: float) -> float:
    """The percentile; nan of nothing."""
    return percentile(values, percent) if values else math.nan


def work(found: Run) -> float:
    """All reference tokens per second, as parts of T."""
    got = 0.0
    for part in found.parts:
        line = part.curve(found.start, found.end)
        got += float(line.done[-1] - line.done[0]) / part.tenant.scale.throughput
    return got / (found.end - found.start)


def refused_below(found: Run) -> int:
    """Requests of those who behave well that were refused though they were within what was bought."""
    return sum(
        wrongly_refused(part.rows, part.tenant.scale, part.tenant.bought, part.tenant.residence_s) for part in found.own
    )


def failed(found: Run) -> int:
    """Requests of all tenants that were answered neither well nor with 429."""
    return sum(row.outcome in {Outcome.FAILED, Outcome.INVALID} for part in found.parts for row in part.rows)


def first_retries(found: Run) -> float:
    """The part of first retries, of all tenants, that were not refused again; nan if there were none."""
    rows = [row for part in found.parts for row in part.rows if row.attempt == 1 and row.outcome is not Outcome.CUT]
    return sum(row.outcome is not Outcome.REFUSED for row in rows) / len(rows) if rows else math.nan


def outcomes(found: Run) -> dict[str, int]:
    """How the requests of those who behave well ended."""
    return {
        kind.value: sum(row.outcome is kind for part in found.own for row in part.rows)
        for kind in Outcome
        if any(row.outcome is kind for part in found.own for row in part.rows)
    }
