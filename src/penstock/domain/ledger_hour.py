"""An hour of one served entity in the ledger: the sum of its minutes, in a chain of its own that outlives theirs."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from penstock.domain.ledger_chain import BEGINNING, Link, chain, digest_of_all
from penstock.domain.ledger_minute import LedgerMinute
from penstock.domain.ledger_sums import Promise, Sums, Totals

HOUR_MS = 3_600_000
_ALMOST = 1e-9
"""Chunks are sizes that were divided; this much of one over a whole number is that number."""


class HourKey(NamedTuple):
    """Which hour of which served entity."""

    hour: int
    endpoint_id: str
    entity: str


@dataclass(frozen=True, slots=True)
class LedgerHour(Sums):
    """One row of a chain (`ledger_chain`). `minutes` counts the rows that it sums.

    `chunks` is the highest band of any of its minutes, in chunks; `minutes_digest` covers the hashes of the minutes.
    """

    LENGTH_MS: ClassVar[int] = HOUR_MS

    number: int
    key: HourKey
    endpoint_name: str
    minutes: int
    promise: Promise
    chunks: int
    totals: Totals
    minutes_digest: str
    previous: str = ""
    hash: str = ""


def hour_of(at_ms: int) -> int:
    """The beginning of the hour, epoch milliseconds."""
    return at_ms - at_ms % HOUR_MS


def chunks_of(promise: Promise) -> int:
    """The highest band in chunks; part of a chunk is a chunk."""
    return math.ceil(promise.peak / promise.chunk - _ALMOST) if promise.chunk > 0 else 0


@dataclass(slots=True)
class _Sum:
    endpoint_name: str = ""
    promise: Promise = field(default_factory=Promise)
    chunks: int = 0
    totals: Totals = field(default_factory=Totals)
    hashes: list[str] = field(default_factory=list)

    def row(self, key: HourKey) -> LedgerHour:
        minutes, digest = len(self.hashes), digest_of_all(self.hashes)
        return LedgerHour(0, key, self.endpoint_name, minutes, self.promise, self.chunks, self.totals, digest)


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
        found.endpoint_name = row.endpoint_name or found.endpoint_name
        found.promise += row.promise
        found.chunks = max(found.chunks, chunks_of(row.promise))
        found.totals += row.totals
        found.hashes.append(row.hash)

    def rows(self, last: Link = BEGINNING) -> Sequence[LedgerHour]:
        """All of them, by key, chained to the number and hash of the last one before."""
        return chain((found.row(key) for key, found in sorted(self._sums.items())), last)

    def pop(self, key: HourKey) -> LedgerHour | None:
        """Takes one of them out, not chained; None if it is not there."""
        found = self._sums.pop(key, None)
        return found.row(key) if found else None

    def pop_before(self, hour: int) -> Sequence[LedgerHour]:
        """Takes out all of before an hour, by key, not chained."""
        return [self._sums.pop(key).row(key) for key in sorted(self._sums) if key.hour < hour]
