"""A minute of one served entity in the ledger: what was promised, asked for and done, chained to the row before it."""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import NamedTuple

from penstock.domain.decision import summary
from penstock.domain.ledger_entry import MINUTE_MS, arrival, asked, digest, portions
from penstock.domain.usage import RequestOutcome, RequestRecord

GENESIS = "0" * 64
"""What the first row is chained to."""
METERED = "shared"
"""The priority of requests that are paid by the token."""
NONE = -1.0


class Key(NamedTuple):
    """Which minute of which served entity; the order is the ledger's. `entity` is empty for what was never routed."""

    minute: int
    endpoint_id: str
    entity: str


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Milliseconds; -1 where nothing was measured."""

    p50: float = NONE
    p95: float = NONE
    p99: float = NONE


@dataclass(frozen=True, slots=True)
class Promise:
    """What a served entity held of its device during one minute.

    `milli` is the allotment's sum over the time in thousandths of reference tokens, `peak` its highest value and
    `chunk` the size of a chunk, in tokens per second; `known_ms` is for how much of the minute the allotment is known.
    """

    milli: int = 0
    peak: float = 0.0
    chunk: float = 0.0
    known_ms: int = 0

    def held(self, tokens_per_s: float, chunk: float, lasted_ms: int) -> "Promise":
        """With one more piece of the minute."""
        return Promise(
            self.milli + round(tokens_per_s * lasted_ms),
            max(self.peak, float(tokens_per_s)),
            max(self.chunk, float(chunk)),
            self.known_ms + lasted_ms,
        )


@dataclass(frozen=True, slots=True)
class Totals:
    """What the request rows of a minute, or of an hour, add up to.

    `offered`, `admitted` and `attained` are in thousandths of reference tokens; `requests` and what follows count those
    that ended in it. `metered_...` are the tokens of requests that are paid by the token.
    """

    offered_milli: int = 0
    admitted_milli: int = 0
    attained_milli: int = 0
    requests: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    rejected: int = 0
    breaches: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    metered_prompt_tokens: int = 0
    metered_completion_tokens: int = 0

    def __add__(self, other: "Totals") -> "Totals":
        """The sum, field by field."""
        # Spelled out: this runs for every request, and a loop over names takes four times as long.
        return Totals(
            self.offered_milli + other.offered_milli,
            self.admitted_milli + other.admitted_milli,
            self.attained_milli + other.attained_milli,
            self.requests + other.requests,
            self.completed + other.completed,
            self.failed + other.failed,
            self.cancelled + other.cancelled,
            self.rejected + other.rejected,
            self.breaches + other.breaches,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.metered_prompt_tokens + other.metered_prompt_tokens,
            self.metered_completion_tokens + other.metered_completion_tokens,
        )


@dataclass(frozen=True, slots=True)
class LedgerMinute:
    """One row. `number` counts from 1; `previous` is the hash of the row before it and `hash` this row's.

    `refusals` counts refused requests by reason. `requests_digest` covers the rows of the requests that ended in it.
    """

    number: int
    key: Key
    endpoint_name: str
    promise: Promise
    totals: Totals
    ttft: Percentiles
    tpot: Percentiles
    queue: Percentiles
    refusals: tuple[tuple[str, int], ...]
    requests_digest: str
    previous: str = ""
    hash: str = ""

    @property
    def promised(self) -> float:
        """Tokens per second, averaged over the whole minute."""
        return self.promise.milli / MINUTE_MS

    @property
    def offered(self) -> float:
        """Tokens per second that requests asked for, refused ones included."""
        return self.totals.offered_milli / MINUTE_MS

    @property
    def admitted(self) -> float:
        """Tokens per second that requests asked for that were not refused."""
        return self.totals.admitted_milli / MINUTE_MS

    @property
    def attained(self) -> float:
        """Tokens per second that were done."""
        return self.totals.attained_milli / MINUTE_MS


@dataclass(slots=True)
class Tally:
    """One minute of one served entity, as its requests come in, in any order."""

    endpoint_name: str = ""
    offered_milli: int = 0
    admitted_milli: int = 0
    attained_milli: int = 0
    ended: Totals = field(default_factory=Totals)
    ttft: list[float] = field(default_factory=list)
    tpot: list[float] = field(default_factory=list)
    queue: list[float] = field(default_factory=list)
    refusals: dict[str, int] = field(default_factory=dict)
    digests: list[str] = field(default_factory=list)

    @property
    def totals(self) -> Totals:
        """All that is summed."""
        return self.ended + Totals(self.offered_milli, self.admitted_milli, self.attained_milli)

    def end(self, record: RequestRecord) -> None:
        """A request that ended in the minute."""
        self.endpoint_name = record.endpoint_name
        self.digests.append(record.digest)
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
        return LedgerMinute(
            0,
            key,
            self.endpoint_name or name,
            promise,
            self.totals,
            percentiles(self.ttft),
            percentiles(self.tpot),
            percentiles(self.queue),
            tuple(sorted(self.refusals.items())),
            digest_of_all(self.digests),
        )


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
    tallies: Mapping[Key, Tally],
    promises: Mapping[Key, Promise],
    names: Mapping[str, str],
    last: tuple[int, str],
) -> Sequence[LedgerMinute]:
    """The rows of some minutes, chained to the last one's number and hash (0 and `GENESIS` if there is none).

    `names` tells the names of endpoints by id, for those that had a promise and no request. A minute with neither
    requests nor a promise above zero gets no row.
    """
    number, previous = last
    rows: list[LedgerMinute] = []
    for key in sorted({*tallies, *(key for key, promise in promises.items() if promise.peak > 0)}):
        row = tallies.get(key, Tally()).row(key, promises.get(key, Promise()), names.get(key.endpoint_id, ""))
        number += 1
        chained = replace(row, number=number, previous=previous)
        rows.append(replace(chained, hash=hash_of(chained)))
        previous = rows[-1].hash
    return rows


def hash_of(row: LedgerMinute) -> str:
    """SHA-256 of the hash of the row before and the canonical JSON of all else of this one, in hexadecimal."""
    facts = asdict(replace(row, hash=""))
    return digest([row.previous, facts])


def digest_of_all(digests: Iterable[str]) -> str:
    """One SHA-256 of several, in whatever order they come."""
    return hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()


def percentiles(values: Sequence[float]) -> Percentiles:
    """By the nearest rank: each is a value that was measured."""
    if not values:
        return Percentiles()
    ordered = sorted(values)
    p50, p95, p99 = (ordered[math.ceil(part * len(ordered) / 100) - 1] for part in (50, 95, 99))
    return Percentiles(p50, p95, p99)


def _counts(record: RequestRecord) -> Totals:
    outcome, usage = record.outcome, record.usage
    metered = record.priority == METERED
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
