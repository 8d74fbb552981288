"""Changes of allotments, as stored."""

from collections.abc import Sequence
from typing import Protocol

from penstock.domain.scaling_record import ScalingRecord


class ScalingRows(Protocol):
    """Rows of changes, one per endpoint, served entity and moment."""

    async def add(self, records: Sequence[ScalingRecord]) -> None:
        """Adds changes, leaving alone those that are there."""
        ...

    async def of(self, endpoint_id: str, *, limit: int = 100) -> Sequence[ScalingRecord]:
        """The newest changes of an endpoint, newest first, by name of the served entity within a moment."""
        ...

    async def sweep(self, before: int) -> int:
        """Forgets changes older than `before` (epoch milliseconds); returns how many."""
        ...
