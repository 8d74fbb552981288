"""Replicas, as stored."""

from collections.abc import Collection, Sequence
from typing import Protocol

from penstock.domain.replica import Replica


class ReplicaRows(Protocol):
    """Rows of replicas. Ended ones stay as history until no endpoint knows their spec, or they are old."""

    async def add(self, replica: Replica) -> None:
        """Adds a replica."""
        ...

    async def save(self, replica: Replica) -> None:
        """Writes every changed field; the step from the stored state must be allowed (`replica.check_step`).

        Raises DoesNotExist if there is no such replica.
        """
        ...

    async def of(self, specs: Collection[str]) -> Sequence[Replica]:
        """All replicas of these specs, oldest first."""
        ...

    async def live(self) -> Sequence[Replica]:
        """All replicas that have not ended."""
        ...

    async def forget(self, spec: str) -> None:
        """Removes the ended replicas of a spec. Safe to repeat."""
        ...

    async def sweep(self, before_ms: int) -> int:
        """Removes ended replicas that changed last before `before_ms`; returns how many."""
        ...
