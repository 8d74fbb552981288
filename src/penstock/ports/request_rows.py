"""The request ledger, as stored."""

from collections.abc import Sequence
from typing import Protocol

from penstock.domain.usage import RequestRecord


class RequestRows(Protocol):
    """Rows of ended requests, one per request id."""

    async def add(self, records: Sequence[RequestRecord]) -> int:
        """Adds records in one statement, leaving alone those whose request id is there; returns how many are new."""
        ...

    async def in_ledger(self, after: tuple[int, str], *, limit: int = 1000) -> Sequence[RequestRecord]:
        """Records that the ledger counts, by (minute, request id), from the first that is greater than `after`."""
        ...

    async def longest_ms(self, up_to: float) -> float:
        """The longest duration of a record that is not above `up_to`, milliseconds; 0 if there is none."""
        ...

    async def count(self) -> int:
        """How many records the ledger counts."""
        ...

    async def remove(self, until: int, *, limit: int) -> int:
        """Removes records that count in minutes before `until`, oldest first, at most `limit`; returns how many.

        Those from before the ledger go by when they came.
        """
        ...

    async def get(self, request_id: str) -> RequestRecord | None:
        """One record."""
        ...
