"""Rows of replicas; the contract is `penstock.ports.replica_rows`."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.adapters.store.database import unique
from penstock.adapters.store.tables.endpoints import REPLICAS
from penstock.domain.errors import DoesNotExist
from penstock.domain.replica import ENDED, Replica, ReplicaState, check_step

_ENDED = sorted(state.value for state in ENDED)
_ORDER = (REPLICAS.c.created_at, REPLICAS.c.id)


class SqlReplicaRows:
    """See `penstock.ports.replica_rows.ReplicaRows`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, replica: Replica) -> None:
        """Adds a replica."""
        async with unique(self._connection, f"Replica {replica.id} already exists."):
            await self._connection.execute(insert(REPLICAS).values(**_values(replica)))

    async def save(self, replica: Replica) -> None:
        """Writes every changed field."""
        stored = await self._connection.scalar(select(REPLICAS.c.state).where(REPLICAS.c.id == replica.id))
        if stored is None:
            raise DoesNotExist(f"Replica {replica.id} does not exist.")
        check_step(ReplicaState(stored), replica.state)
        await self._connection.execute(update(REPLICAS).where(REPLICAS.c.id == replica.id).values(**_values(replica)))

    async def of(self, specs: Collection[str]) -> Sequence[Replica]:
        """All replicas of these specs."""
        query = select(REPLICAS).where(REPLICAS.c.spec.in_(sorted(specs))).order_by(*_ORDER)
        return [_replica(row) for row in await self._connection.execute(query)]

    async def live(self) -> Sequence[Replica]:
        """All replicas that have not ended."""
        query = select(REPLICAS).where(REPLICAS.c.state.not_in(_ENDED)).order_by(*_ORDER)
        return [_replica(row) for row in await self._connection.execute(query)]

    async def forget(self, spec: str) -> None:
        """Removes ended replicas of a spec."""
        old = delete(REPLICAS).where(REPLICAS.c.spec == spec, REPLICAS.c.state.in_(_ENDED))
        await self._connection.execute(old)

    async def sweep(self, before_ms: int) -> int:
        """Removes ended replicas."""
        old = delete(REPLICAS).where(REPLICAS.c.state.in_(_ENDED), REPLICAS.c.changed_at < before_ms)
        return (await self._connection.execute(old)).rowcount


def _values(replica: Replica) -> dict[str, object]:
    return {
        "id": replica.id,
        "spec": replica.spec,
        "entity_name": replica.entity_name,
        "entity_version": replica.entity_version,
        "state": replica.state.value,
        "message": replica.message,
        "memory": replica.memory,
        "address": replica.address,
        "pid": replica.pid,
        "pid_started": replica.pid_started,
        "created_at": replica.created_at,
        "changed_at": replica.changed_at,
        "device": replica.device,
        "fatal": replica.fatal,
    }


def _replica(row: Row[Any]) -> Replica:
    return Replica(
        id=row.id,
        spec=row.spec,
        entity_name=row.entity_name,
        entity_version=row.entity_version,
        state=ReplicaState(row.state),
        message=row.message,
        memory=row.memory,
        address=row.address,
        pid=row.pid,
        pid_started=row.pid_started,
        created_at=row.created_at,
        changed_at=row.changed_at,
        device=row.device,
        fatal=row.fatal,
    )
