"""What requests add up to: minutes that are counted, in whatever order requests come, and closed when they are over."""

import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from penstock.domain.decision import summary
from penstock.domain.endpoint import RESERVED_PREFIX
from penstock.domain.ledger_chain import Link, chain, digest_of_all
from penstock.domain.ledger_entry import arrival, asked, portions
from penstock.domain.ledger_minute import Key, LedgerMinute, Percentiles, percentiles
from penstock.domain.ledger_sums import Promise, Totals
from penstock.domain.usage import RequestOutcome, RequestRecord

METERED = "shared"
"""The priority of requests that are paid by the token."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_BYTES = 32


class Digests:
    """Digests of rows, in 32 bytes each: a busy minute has a hundred thousand. One that is none is kept as it is."""

    __slots__ = ("_odd", "_packed")

    def __init__(self) -> None:
        self._packed = bytearray()
        self._odd: list[str] = []

    def add(self, digest: str) -> None:
        """One more."""
        if _DIGEST.fullmatch(digest):
            self._packed += bytes.fromhex(digest)
        else:
            self._odd.append(digest)

    def __iter__(self) -> Iterator[str]:
        """As they were given, in another order."""
        for start in range(0, len(self._packed), _BYTES):
            yield self._packed[start : start + _BYTES].hex()
        yield from self._odd


def _floats() -> "array[float]":
    return array("d")


@dataclass(frozen=True, slots=True)
class _Ended:
    """What a row tells of the requests that ended in its minute, beside their totals."""

    ttft: Percentiles
    tpot: Percentiles
    queue: Percentiles
    requests_digest: str


@dataclass(slots=True)
class Tally:
    """One minute of one served entity, as its requests come in, in any order."""

    endpoint_name: str = ""
    offered_milli: int = 0
    admitted_milli: int = 0
    attained_milli: int = 0
    ended: Totals = field(default_factory=Totals)
    ttft: "array[float]" = field(default_factory=_floats)
    tpot: "array[float]" = field(default_factory=_floats)
    queue: "array[float]" = field(default_factory=_floats)
    refusals: dict[str, int] = field(default_factory=dict)
    digests: Digests = field(default_factory=Digests)
    _settled: _Ended | None = None

    @property
    def totals(self) -> Totals:
        """All that is summed."""
        return self.ended + Totals(self.offered_milli, self.admitted_milli, self.attained_milli)

    def end(self, record: RequestRecord) -> None:
        """A request that ended in the minute."""
        self.endpoint_name = record.endpoint_name
        self.digests.add(record.digest)
        self.ended += _counts(record)
        if record.outcome is RequestOutcome.REJECTED:
            why = summary(record.decision) or record.reason
            self.refusals[why] = self.refusals.get(why, 0) + 1
        if record.replica_id:
            self.queue.append(float(record.queue_ms))
        if record.ttft_ms >= 0:
            self.ttft.append(float(record.ttft_ms))
            if record.streaming and record.usage.completion_tokens > 1:
                tokens = record.usage.completion_tokens - 1
                self.tpot.append((float(record.duration_ms) - float(record.ttft_ms)) / tokens)

    def row(self, key: Key, promise: Promise, name: str = "") -> LedgerMinute:
        """The row, not yet chained. `name` is used if no request told it."""
        ended = self._settled or self._ended()
        return LedgerMinute(
            0,
            key,
            self.endpoint_name or name,
            promise,
            self.totals,
            ended.ttft,
            ended.tpot,
            ended.queue,
            tuple(sorted(self.refusals.items())),
            ended.requests_digest,
        )

    def settle(self) -> None:
        """No more requests end in the minute: keeps what the row tells of them, and frees what it is made of."""
        self._settled = self._ended()
        self.ttft, self.tpot, self.queue, self.digests = _floats(), _floats(), _floats(), Digests()

    def _ended(self) -> _Ended:
        measured = percentiles(self.ttft), percentiles(self.tpot), percentiles(self.queue)
        return _Ended(*measured, digest_of_all(self.digests))


class Tallies:
    """The minutes that requests touch."""

    def __init__(self) -> None:
        self.by_key: dict[Key, Tally] = {}

    def add(self, record: RequestRecord) -> None:
        """Counts a record that has entered the ledger wherever it counts."""
        endpoint, entity = record.endpoint_id, record.served_entity
        came = self._of(Key(arrival(record), endpoint, entity))
        came.offered_milli += asked(record)
        if record.outcome is not RequestOutcome.REJECTED:
            came.admitted_milli += asked(record)
        for minute, milli in portions(record):
            if milli:
                self._of(Key(minute, endpoint, entity)).attained_milli += milli
        self._of(Key(record.minute, endpoint, entity)).end(record)

    def _of(self, key: Key) -> Tally:
        return self.by_key.setdefault(key, Tally())


def close(
    tallies: Mapping[Key, Tally], promises: Mapping[Key, Promise], names: Mapping[str, str], last: Link
) -> Sequence[LedgerMinute]:
    """The rows of some minutes, chained to the last one's number and hash.

    `names` tells the names of endpoints by id, for those that had a promise and no request. A minute with neither
    requests nor a promise above zero gets no row.
    """
    keys = sorted({*tallies, *(key for key, promise in promises.items() if promise.peak > 0)})
    rows = (
        tallies.get(key, Tally()).row(key, promises.get(key, Promise()), names.get(key.endpoint_id, "")) for key in keys
    )
    return chain(rows, last)


def _counts(record: RequestRecord) -> Totals:
    outcome, usage = record.outcome, record.usage
    # A batch of an endpoint that is paid by the token is paid too, though it waits behind everything.
    metered = record.priority == METERED or record.endpoint_name.startswith(RESERVED_PREFIX)
    return Totals(
        requests=1,
        completed=int(outcome is RequestOutcome.COMPLETED),
        failed=int(outcome is RequestOutcome.FAILED),
        cancelled=int(outcome is RequestOutcome.CANCELLED),
        rejected=int(outcome is RequestOutcome.REJECTED),
        breaches=int(record.breach),
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        metered_prompt_tokens=usage.prompt_tokens if metered else 0,
        metered_completion_tokens=usage.completion_tokens if metered else 0,
    )
