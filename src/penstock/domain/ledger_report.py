"""Promised against attained, from the ledger: one line for each minute or hour of an endpoint."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from penstock.domain.ledger_entry import MILLI, MINUTE_MS
from penstock.domain.ledger_minute import LedgerMinute, Percentiles, Tally, Totals, percentiles
from penstock.domain.usage import RequestRecord

SECOND_MS = 1000


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
    minutes: set[int] = field(default_factory=set)
    promised_milli: int = 0
    totals: Totals = field(default_factory=Totals)
    measured: Tally = field(default_factory=Tally)

    def line(self, at: int, length_ms: int) -> Line:
        milli_s = MILLI * length_ms / SECOND_MS
        totals = self.totals
        return Line(
            at,
            self.promised_milli / milli_s,
            totals.offered_milli / milli_s,
            totals.admitted_milli / milli_s,
            totals.attained_milli / milli_s,
            totals,
            percentiles(self.measured.ttft),
            percentiles(self.measured.tpot),
            percentiles(self.measured.queue),
            tuple(sorted(self.measured.refusals.items())),
        )


class Report:
    """Sums an endpoint's minutes from `since` to before `until` in steps, with percentiles over its requests' rows."""

    def __init__(self, since: int, until: int, step_ms: int) -> None:
        self._since = since
        self._until = until
        self._step_ms = step_ms
        self._steps: dict[int, _Step] = {}
        self._all = _Step()
        self.endpoints: set[str] = set()
        """The ids of the endpoint; several if the name was given again."""

    def minutes(self, rows: Iterable[LedgerMinute]) -> None:
        """Takes the minutes."""
        for row in rows:
            self.endpoints.add(row.key.endpoint_id)
            for step in (self._step(row.key.minute), self._all):
                step.minutes.add(row.key.minute)
                step.promised_milli += row.promise.milli
                step.totals += row.totals

    def request(self, record: RequestRecord) -> None:
        """Takes a request, if it is one of the endpoint's."""
        if record.endpoint_id in self.endpoints:
            for step in (self._step(record.minute), self._all):
                step.measured.end(record)

    def lines(self) -> Sequence[Line]:
        """A line for each step that has minutes in the ledger; averages are over the step's part of the period."""
        return [
            step.line(at, max(min(at + self._step_ms, self._until) - max(at, self._since), MINUTE_MS))
            for at, step in sorted(self._steps.items())
            if step.minutes
        ]

    def whole(self) -> Line:
        """All of it; averages are over the minutes that have a row."""
        return self._all.line(self._since, max(len(self._all.minutes), 1) * MINUTE_MS)

    def _step(self, minute: int) -> _Step:
        return self._steps.setdefault(minute - minute % self._step_ms, _Step())
