"""Replicas, as stored."""

from collections.abc import Sequence
from typing import Protocol

from penstock.domain.replica import Replica


class ReplicaRows(Protocol):
    """Rows of replicas. Ended ones stay as history until their endpoint is removed or the janitor sweeps them."""

    async def add(self, replica: Replica) -> None:
        """Adds a replica."""
        ...

    async def save(self, replica: Replica) -> None:
        """Writes every changed field; the step from the stored state must be allowed (`replica.check_step`).

        Raises DoesNotExist if there is no such replica.
        """
        ...

    async def of(self, endpoint_id: str) -> Sequence[Replica]:
        """All replicas of an endpoint, oldest first."""
        ...

    async def live(self) -> Sequence[Replica]:
        """All replicas that have not ended, of every endpoint."""
        ...

    async def remove_of(self, endpoint_id: str) -> None:
        """Removes all replicas of an endpoint. Safe to repeat."""
        ...

    async def sweep(self, before_ms: int) -> int:
        """Removes ended replicas that changed last before `before_ms`; returns how many."""
        ...
