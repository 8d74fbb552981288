"""An hour of one served entity in the ledger: the sum of its minutes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from penstock.domain.ledger_minute import LedgerMinute, Totals, digest_of_all

HOUR_MS = 3_600_000


class HourKey(NamedTuple):
    """Which hour of which served entity."""

    hour: int
    endpoint_id: str
    entity: str


@dataclass(frozen=True, slots=True)
class LedgerHour:
    """One row. `promised_milli` is in thousandths of reference tokens; `peak` and `chunk` in tokens per second.

    `minutes_digest` covers the hashes of the minutes that it sums.
    """

    key: HourKey
    endpoint_name: str
    minutes: int
    promised_milli: int
    peak: float
    chunk: float
    totals: Totals
    minutes_digest: str

    @property
    def promised(self) -> float:
        """Tokens per second, averaged over the whole hour."""
        return self.promised_milli / HOUR_MS

    @property
    def attained(self) -> float:
        """Tokens per second that were done, averaged over the whole hour."""
        return self.totals.attained_milli / HOUR_MS


def hour_of(at_ms: int) -> int:
    """The beginning of the hour, epoch milliseconds."""
    return at_ms - at_ms % HOUR_MS


@dataclass(slots=True)
class _Sum:
    endpoint_name: str = ""
    promised_milli: int = 0
    peak: float = 0.0
    chunk: float = 0.0
    totals: Totals = field(default_factory=Totals)
    hashes: list[str] = field(default_factory=list)


class Hours:
    """The hours that minutes add up to."""

    def __init__(self, rows: Iterable[LedgerMinute] = ()) -> None:
        self._sums: dict[HourKey, _Sum] = {}
        for row in rows:
            self.add(row)

    def add(self, row: LedgerMinute) -> None:
        """Counts a minute."""
        key = HourKey(hour_of(row.key.minute), row.key.endpoint_id, row.key.entity)
        found = self._sums.setdefault(key, _Sum())
        found.endpoint_name = row.endpoint_name
        found.promised_milli += row.promise.milli
        found.peak = max(found.peak, row.promise.peak)
        found.chunk = max(found.chunk, row.promise.chunk)
        found.totals += row.totals
        found.hashes.append(row.hash)

    def rows(self) -> Sequence[LedgerHour]:
        """All of them, by key."""
        return [
            LedgerHour(
                key,
                found.endpoint_name,
                len(found.hashes),
                found.promised_milli,
                found.peak,
                found.chunk,
                found.totals,
                digest_of_all(found.hashes),
            )
            for key, found in sorted(self._sums.items())
        ]
