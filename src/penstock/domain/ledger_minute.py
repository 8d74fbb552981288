"""A minute of one served entity in the ledger: what was promised, asked for and done, chained to the row before it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from penstock.domain.ledger_entry import MINUTE_MS
from penstock.domain.ledger_sums import Promise, Sums, Totals

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
class LedgerMinute(Sums):
    """One row of a chain (`ledger_chain`).

    `refusals` counts refused requests by reason. `requests_digest` covers the rows of the requests that ended in it.
    """

    LENGTH_MS: ClassVar[int] = MINUTE_MS

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


def percentiles(values: Sequence[float]) -> Percentiles:
    """By the nearest rank: each is a value that was measured."""
    if not values:
        return Percentiles()
    ordered = sorted(values)
    p50, p95, p99 = (ordered[math.ceil(part * len(ordered) / 100) - 1] for part in (50, 95, 99))
    return Percentiles(p50, p95, p99)
