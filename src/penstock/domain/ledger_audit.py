"""Whether the ledger is what was written: its chain, and each of its sums from the rows of the requests."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from penstock.domain.ledger_entry import digest_of
from penstock.domain.ledger_hour import Hours, LedgerHour
from penstock.domain.ledger_minute import GENESIS, Key, LedgerMinute, Tallies, Tally, Totals, hash_of
from penstock.domain.usage import RequestRecord

_MEASURES = ("ttft", "tpot", "queue", "refusals")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found: a sentence for each thing that is not as it was written; none if all is.

    `head` is the number and the hash of the last row; `pending` counts requests whose minutes are not closed yet.
    """

    findings: Sequence[str]
    minutes: int
    hours: int
    requests: int
    pending: int
    head: tuple[int, str]


class Audit:
    """Takes all requests by (minute, id) and all minutes by number.

    Before a minute, it wants all requests that count in minutes up to the longest request's duration after it.
    """

    def __init__(self, noted: tuple[int, str] | None = None) -> None:
        self._noted = noted
        self._tallies = Tallies()
        self._hours = Hours()
        self._minutes = self._requests = 0
        self._last = (0, GENESIS)
        self._minute = 0

    def request(self, record: RequestRecord) -> Iterator[str]:
        """Counts a request."""
        self._requests += 1
        if digest_of(record) != record.digest:
            yield f"request {record.request_id} of {_when(record.minute)}: its row is not what was written"
        self._tallies.add(record)

    def minute(self, row: LedgerMinute) -> Iterator[str]:
        """Checks a row."""
        name = f"row {row.number} ({_named(row.key, row.endpoint_name)})"
        number, previous = self._last
        if row.number == number + 2:
            yield f"row {number + 1} is missing"
        elif row.number > number + 1:
            yield f"rows {number + 1} to {row.number - 1} are missing"
        elif row.previous != previous:
            yield f"{name}: it is not chained to the row before it"
        if hash_of(row) != row.hash:
            yield f"{name}: its content is not what was hashed"
        if self._noted and self._noted[0] == row.number and self._noted[1] != row.hash:
            yield f"{name}: its hash is not the one that was noted"
        yield from self._sums(row, name)
        self._hours.add(row)
        self._minutes += 1
        self._minute = max(self._minute, row.key.minute)
        self._last = (row.number, row.hash)

    def _sums(self, row: LedgerMinute, name: str) -> Iterator[str]:
        counted = self._tallies.by_key.pop(row.key, Tally()).row(row.key, row.promise, row.endpoint_name)
        for field in Totals.__slots__:
            told, found = getattr(row.totals, field), getattr(counted.totals, field)
            if told != found:
                yield f"{name}: {field} is {told}, its requests add up to {found}"
        for field in _MEASURES:
            told, found = getattr(row, field), getattr(counted, field)
            if told != found:
                yield f"{name}: {field} is {_plain(told)}, its requests give {_plain(found)}"
        if row.requests_digest != counted.requests_digest:
            told, found = row.totals.requests, counted.totals.requests
            how = f"it was written for {told} requests, {found} are there" if told != found else "others are there"
            yield f"{name}: its requests are not those that it was written for: {how}"

    def end(self, hours: Sequence[LedgerHour]) -> Iterator[str]:
        """Checks the hours, and that nothing is left."""
        for key in sorted(self._tallies.by_key):
            if key.minute <= self._minute:
                tally = self._tallies.by_key[key]
                yield f"{_named(key, tally.endpoint_name)}: its requests are in no row of the ledger"
        if self._noted and self._noted[0] > self._last[0]:
            yield f"row {self._noted[0]}, which was noted, is missing, and with it the end of the ledger"
        expected = {hour.key: hour for hour in self._hours.rows()}
        last = max((hour.key.hour for hour in hours), default=-1)
        for hour in hours:
            name = f"hour {_when(hour.key.hour)} of {hour.endpoint_name}/{hour.key.entity}"
            summed = expected.pop(hour.key, None)
            if summed is None:
                yield f"{name}: it has no minutes"
            elif summed != hour:
                yield from (f"{name}: {difference}" for difference in _differences(hour, summed))
        for missing, hour in expected.items():
            if missing.hour <= last:
                yield f"hour {_when(missing.hour)} of {hour.endpoint_name}/{missing.entity}: it is missing"

    def verdict(self, findings: Sequence[str], hours: int) -> Verdict:
        """All in all."""
        pending = sum(tally.totals.requests for key, tally in self._tallies.by_key.items() if key.minute > self._minute)
        return Verdict(findings, self._minutes, hours, self._requests, pending, self._last)


def _differences(hour: LedgerHour, summed: LedgerHour) -> Iterator[str]:
    for field in Totals.__slots__:
        told, found = getattr(hour.totals, field), getattr(summed.totals, field)
        if told != found:
            yield f"{field} is {told}, its minutes add up to {found}"
    for field in ("endpoint_name", "minutes", "promised_milli", "peak", "chunk", "minutes_digest"):
        told, found = getattr(hour, field), getattr(summed, field)
        if told != found:
            yield f"{field} is {told}, its minutes give {found}"


def _named(key: Key, endpoint_name: str) -> str:
    of = f"{endpoint_name or key.endpoint_id}/{key.entity}" if key.entity else endpoint_name or key.endpoint_id
    return f"{_when(key.minute)} of {of}"


def _when(at_ms: int) -> str:
    """As in the reports; a time that no calendar has is told in milliseconds."""
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%MZ")
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms"


def _plain(value: object) -> str:
    return str(value).removeprefix("Percentiles")
