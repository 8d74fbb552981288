"""Whether the ledger is what was written: its chains, and each of its sums from the rows of the requests."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from penstock.domain.ledger_chain import BEGINNING, ChainCheck, Link
from penstock.domain.ledger_checkpoint import Checkpoint, Part
from penstock.domain.ledger_entry import digest_of
from penstock.domain.ledger_hour import HourKey, Hours, LedgerHour
from penstock.domain.ledger_minute import Key, LedgerMinute
from penstock.domain.ledger_moment import told
from penstock.domain.ledger_sums import Totals
from penstock.domain.ledger_tally import Tallies, Tally
from penstock.domain.usage import RequestRecord

LONGEST_MS = 7 * 24 * 3_600_000
"""A row that was altered is not counted if it says that it took longer: it would touch minutes without end."""
_MEASURES = ("ttft", "tpot", "queue", "refusals")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found: a sentence for each thing that is not as it was written; none if all is.

    `findings` are the first of `faults`. `head` is the number and the hash of the last row; `pending` counts requests
    whose minutes are not closed yet. `checkpoints` say what retention has taken.
    """

    findings: Sequence[str]
    faults: int
    minutes: int
    hours: int
    requests: int
    pending: int
    head: Link
    checkpoints: Mapping[Part, Checkpoint]


class Audit:
    """Takes all requests by (minute, id), all minutes and all hours by number.

    Before a minute, it wants all requests that count in minutes up to the longest request's duration after it; before
    an hour, all its minutes. It holds the sums of that time, and of no more.
    """

    def __init__(self, checkpoints: Mapping[Part, Checkpoint] | None = None, noted: Link | None = None) -> None:
        self._checkpoints = checkpoints or {}
        self._noted = noted
        self._minute_chain = ChainCheck(self.link(Part.MINUTES), noted)
        self._hour_chain = ChainCheck(self.link(Part.HOURS))
        self._tallies = Tallies()
        self._fresh: set[Key] = set()
        self._counted_to = 0
        self._hours = Hours()
        self._unrolled: dict[HourKey, str] = {}
        self._minutes = self._hour_rows = self._requests = 0
        self._minute = self._last_hour = -1

    def since(self, part: Part) -> int:
        """From when on rows are all there; 0 if none was taken."""
        return self._checkpoints[part].until if part in self._checkpoints else 0

    def link(self, part: Part) -> Link:
        """What the first row that is left is chained to."""
        return self._checkpoints[part].link if part in self._checkpoints else BEGINNING

    def begin(self) -> Iterator[str]:
        """Checks the checkpoints; comes first."""
        for part, checkpoint in self._checkpoints.items():
            if checkpoint.sealed() != checkpoint:
                yield f"checkpoint of {part}: its content is not what was sealed"
        number, digest = self.link(Part.MINUTES)
        if self._noted and self._noted[0] <= number and self._noted != (number, digest):
            yield f"row {self._noted[0]}, which was noted, was taken by retention, or should be there"

    def request(self, record: RequestRecord) -> Iterator[str]:
        """Counts a request."""
        self._requests += 1
        intact = digest_of(record) == record.digest
        if not intact:
            yield f"request {record.request_id} of {told(record.minute)}: its row is not what was written"
        if record.minute > self._counted_to:
            self._settle()
            self._counted_to = record.minute
        if intact or _countable(record):
            self._tallies.add(record)
            self._fresh.add(Key(record.minute, record.endpoint_id, record.served_entity))

    def _settle(self) -> None:
        """No more requests come that end in the minutes so far."""
        for key in self._fresh & self._tallies.by_key.keys():
            self._tallies.by_key[key].settle()
        self._fresh.clear()

    def minute(self, row: LedgerMinute) -> Iterator[str]:
        """Checks a row."""
        name = f"row {row.number} ({_named(row.key, row.endpoint_name)})"
        yield from self._minute_chain.take(row, name, "row")
        mark = self._checkpoints.get(Part.REQUESTS)
        if mark is not None and mark.number == row.number and mark.hash != row.hash:
            yield f"{name}: its hash is not the one for which its requests were taken by retention"
        if row.key.minute >= self.since(Part.REQUESTS):
            yield from self._sums(row, name)
        if row.key.minute >= self.since(Part.MINUTES):
            self._hours.add(row)
        self._minutes += 1
        self._minute = max(self._minute, row.key.minute)

    def _sums(self, row: LedgerMinute, name: str) -> Iterator[str]:
        counted = self._tallies.by_key.pop(row.key, Tally()).row(row.key, row.promise, row.endpoint_name)
        for field in Totals.__slots__:
            stored, found = getattr(row.totals, field), getattr(counted.totals, field)
            if stored != found:
                yield f"{name}: {field} is {stored}, its requests add up to {found}"
        for field in _MEASURES:
            stored, found = getattr(row, field), getattr(counted, field)
            if stored != found:
                yield f"{name}: {field} is {_plain(stored)}, its requests give {_plain(found)}"
        if row.requests_digest != counted.requests_digest:
            stored, found = row.totals.requests, counted.totals.requests
            how = f"it was written for {stored} requests, {found} are there" if stored != found else "others are there"
            yield f"{name}: its requests are not those that it was written for: {how}"

    def hour(self, row: LedgerHour) -> Iterator[str]:
        """Checks an hour."""
        name = f"hour {told(row.key.hour)} of {row.endpoint_name or row.key.endpoint_id}/{row.key.entity}"
        yield from self._hour_chain.take(row, name, "hour row")
        self._hour_rows += 1
        self._last_hour = max(self._last_hour, row.key.hour)
        summed = self._hours.pop(row.key)
        if row.key.hour < self.since(Part.MINUTES):
            return
        if summed is None:
            yield f"{name}: it has no minutes"
        else:
            yield from (f"{name}: {difference}" for difference in _differences(row, summed))

    def hours_passed(self, hour: int) -> None:
        """All rows of hours before this one were taken."""
        self._unrolled.update({row.key: row.endpoint_name for row in self._hours.pop_before(hour)})

    def end(self) -> Iterator[str]:
        """Checks that nothing is left."""
        since = self.since(Part.REQUESTS)
        for key in sorted(self._tallies.by_key):
            if since <= key.minute <= self._minute:
                tally = self._tallies.by_key[key]
                yield f"{_named(key, tally.endpoint_name)}: its requests are in no row of the ledger"
        if self._noted and self._noted[0] > self._minute_chain.last[0]:
            yield f"row {self._noted[0]}, which was noted, is missing, and with it the end of the ledger"
        self.hours_passed(self._last_hour + 1)
        for hour, endpoint_name in self._unrolled.items():
            if self.since(Part.MINUTES) <= hour.hour <= self._last_hour:
                yield f"hour {told(hour.hour)} of {endpoint_name or hour.endpoint_id}/{hour.entity}: it is missing"

    def verdict(self, findings: Sequence[str], faults: int) -> Verdict:
        """All in all."""
        pending = sum(tally.totals.requests for key, tally in self._tallies.by_key.items() if key.minute > self._minute)
        checked = (self._minutes, self._hour_rows, self._requests)
        return Verdict(findings, faults, *checked, pending, self._minute_chain.last, self._checkpoints)


def _countable(record: RequestRecord) -> bool:
    """Whether the numbers of an altered row can be reckoned with."""
    numbers = (record.queue_ms, record.ttft_ms, record.duration_ms, record.reference_tokens, record.asked_tokens)
    return all(map(math.isfinite, numbers)) and 0 <= record.duration_ms <= LONGEST_MS


def _differences(hour: LedgerHour, summed: LedgerHour) -> Iterator[str]:
    for stored, found in ((hour.totals, summed.totals), (hour.promise, summed.promise)):
        yield from _unequal(stored, found, type(stored).__slots__, "add up to")
    yield from _unequal(hour, summed, ("endpoint_name", "minutes", "chunks", "minutes_digest"), "give")


def _unequal(stored: object, found: object, fields: Iterable[str], how: str) -> Iterator[str]:
    for field in fields:
        if getattr(stored, field) != getattr(found, field):
            yield f"{field} is {getattr(stored, field)}, its minutes {how} {getattr(found, field)}"


def _named(key: Key, endpoint_name: str) -> str:
    of = f"{endpoint_name or key.endpoint_id}/{key.entity}" if key.entity else endpoint_name or key.endpoint_id
    return f"{told(key.minute)} of {of}"


def _plain(value: object) -> str:
    return str(value).removeprefix("Percentiles")
