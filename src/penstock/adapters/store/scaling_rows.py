"""Rows of changes of allotments; the contract is `penstock.ports.scaling_rows`."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Row, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.adapters.store.database import insert_into
from penstock.adapters.store.tables.scaling import SCALING
from penstock.domain.scaling import Kind
from penstock.domain.scaling_record import ScalingRecord


class SqlScalingRows:
    """See `penstock.ports.scaling_rows.ScalingRows`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, records: Sequence[ScalingRecord]) -> None:
        """Adds the changes that are not there."""
        if not records:
            return
        values = [{**asdict(record), "kind": record.kind.value} for record in records]
        await self._connection.execute(insert_into(self._connection, SCALING).on_conflict_do_nothing(), values)

    async def of(self, endpoint_id: str, *, limit: int = 100) -> Sequence[ScalingRecord]:
        """The newest changes."""
        newest = (SCALING.c.at.desc(), SCALING.c.entity)
        query = select(SCALING).where(SCALING.c.endpoint_id == endpoint_id).order_by(*newest).limit(limit)
        return [_record(row) for row in await self._connection.execute(query)]

    async def sweep(self, before: int) -> int:
        """Forgets old changes."""
        return (await self._connection.execute(delete(SCALING).where(SCALING.c.at < before))).rowcount


def _record(row: Row[Any]) -> ScalingRecord:
    return ScalingRecord(**{**row._asdict(), "kind": Kind(row.kind)})
