"""Promised against attained, from the ledger: one line for each minute or hour of an endpoint."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from penstock.domain.ledger_entry import MINUTE_MS
from penstock.domain.ledger_hour import LedgerHour
from penstock.domain.ledger_minute import LedgerMinute, Percentiles, percentiles
from penstock.domain.ledger_sums import Promise, Totals, rate
from penstock.domain.ledger_tally import Tally
from penstock.domain.usage import RequestRecord


@dataclass(frozen=True, slots=True)
class Line:
    """A step of the report, or all of it: tokens per second, milliseconds, counts. `at` is epoch milliseconds."""

    at: int
    promised: float
    offered: float
    admitted: float
    attained: float
    totals: Totals
    ttft: Percentiles
    tpot: Percentiles
    queue: Percentiles
    refusals: tuple[tuple[str, int], ...]

    @property
    def kept(self) -> float | None:
        """Attained against what was promised and asked for, the smaller of them; None where either is nothing.

        In a single minute it may be below 1 though nobody waited: what is asked late in a minute is done in the next.
        """
        due = min(self.promised, self.offered)
        return self.attained / due if due > 0 else None


@dataclass(slots=True)
class _Step:
    """`minutes` are those that have a row, `more_minutes` how many there are in hours; `rows` counts what is summed.

    `stored` is the only row, if it is a minute: its percentiles are those of the step.
    """

    minutes: set[int] = field(default_factory=set)
    more_minutes: dict[int, int] = field(default_factory=dict)
    rows: int = 0
    promise: Promise = field(default_factory=Promise)
    totals: Totals = field(default_factory=Totals)
    measured: Tally = field(default_factory=Tally)
    stored: LedgerMinute | None = None

    def add(self, row: LedgerMinute | LedgerHour) -> None:
        self.rows += 1
        if isinstance(row, LedgerHour):
            self.more_minutes[row.key.hour] = max(self.more_minutes.get(row.key.hour, 0), row.minutes)
        else:
            self.minutes.add(row.key.minute)
        self.stored = row if isinstance(row, LedgerMinute) and self.rows == 1 else None
        self.promise += row.promise
        self.totals += row.totals

    def length_ms(self) -> int:
        return max(len(self.minutes) + sum(self.more_minutes.values()), 1) * MINUTE_MS

    def line(self, at: int, length_ms: int, *, requests_kept: bool) -> Line:
        totals = self.totals
        if requests_kept:
            ttft, tpot, queue = map(percentiles, (self.measured.ttft, self.measured.tpot, self.measured.queue))
        elif self.stored:
            ttft, tpot, queue = self.stored.ttft, self.stored.tpot, self.stored.queue
        else:
            ttft = tpot = queue = Percentiles()
        return Line(
            at,
            rate(self.promise.milli, length_ms),
            rate(totals.offered_milli, length_ms),
            rate(totals.admitted_milli, length_ms),
            rate(totals.attained_milli, length_ms),
            totals,
            ttft,
            tpot,
            queue,
            tuple(sorted(self.measured.refusals.items())),
        )


class Report:
    """Sums an endpoint's rows from `since` to before `until` in steps, with percentiles over its requests' rows.

    Times are epoch milliseconds; the rows of requests are all there from `requests_since` on.
    """

    def __init__(self, since: int, until: int, step_ms: int, *, requests_since: int = 0) -> None:
        self.since = since
        self.until = until
        self._step_ms = step_ms
        self._requests_since = requests_since
        self._steps: dict[int, _Step] = {}
        self._all = _Step()
        self.endpoints: set[str] = set()
        """The ids of the endpoint; several if the name was given again."""

    def rows(self, rows: Iterable[LedgerMinute | LedgerHour]) -> None:
        """Takes the rows of minutes, or of hours."""
        for row in rows:
            self.endpoints.add(row.key.endpoint_id)
            for step in (self._step(row.key[0]), self._all):
                step.add(row)

    def request(self, record: RequestRecord) -> None:
        """Takes a request, if it is one of the endpoint's."""
        if record.endpoint_id in self.endpoints:
            for step in (self._step(record.minute), self._all):
                step.measured.end(record)

    def lines(self) -> Sequence[Line]:
        """A line for each step that has rows in the ledger; averages are over the step's part of the period."""
        lines: list[Line] = []
        for at, step in sorted(self._steps.items()):
            if step.rows:
                begin, end = max(at, self.since), min(at + self._step_ms, self.until)
                lines.append(step.line(at, max(end - begin, MINUTE_MS), requests_kept=self._kept(begin)))
        return lines

    def whole(self) -> Line:
        """All of it; averages are over the minutes that have a row."""
        return self._all.line(self.since, self._all.length_ms(), requests_kept=self._kept(self.since))

    def _kept(self, since: int) -> bool:
        return since >= self._requests_since

    def _step(self, at: int) -> _Step:
        return self._steps.setdefault(at - at % self._step_ms, _Step())
