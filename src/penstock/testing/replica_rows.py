"""Replicas in memory."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from penstock.domain.errors import AlreadyExists, DoesNotExist
from penstock.domain.replica import Replica, check_step


@dataclass
class FakeReplicaRows:
    """See `penstock.ports.replica_rows.ReplicaRows`."""

    by_id: dict[str, Replica] = field(default_factory=dict)

    async def add(self, replica: Replica) -> None:
        """Adds a replica."""
        if replica.id in self.by_id:
            raise AlreadyExists(f"Replica {replica.id} already exists.")
        self.by_id[replica.id] = replica

    async def save(self, replica: Replica) -> None:
        """Writes every changed field."""
        stored = self.by_id.get(replica.id)
        if stored is None:
            raise DoesNotExist(f"Replica {replica.id} does not exist.")
        check_step(stored.state, replica.state)
        self.by_id[replica.id] = replica

    async def of(self, specs: Collection[str]) -> Sequence[Replica]:
        """All replicas of these specs."""
        return [one for one in self._sorted() if one.spec in specs]

    async def live(self) -> Sequence[Replica]:
        """All replicas that have not ended."""
        return [one for one in self._sorted() if not one.ended]

    async def forget(self, spec: str) -> None:
        """Removes ended replicas of a spec."""
        self.by_id = {key: one for key, one in self.by_id.items() if one.spec != spec or not one.ended}

    async def sweep(self, before_ms: int) -> int:
        """Removes ended replicas."""
        old = [one.id for one in self.by_id.values() if one.ended and one.changed_at < before_ms]
        for replica_id in old:
            del self.by_id[replica_id]
        return len(old)

    def _sorted(self) -> list[Replica]:
        return sorted(self.by_id.values(), key=lambda one: (one.created_at, one.id))
