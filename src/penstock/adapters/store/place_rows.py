"""Rows of places; the contract is `penstock.ports.place_rows`."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.adapters.store.tables.endpoints import PLACES
from penstock.domain.placement import Claim

_ORDER = (PLACES.c.endpoint_id, PLACES.c.spec, PLACES.c.device)


class SqlPlaceRows:
    """See `penstock.ports.place_rows.PlaceRows`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def put(self, endpoint_id: str, claims: Sequence[Claim]) -> None:
        """Replaces what the endpoint has claimed."""
        await self._connection.execute(delete(PLACES).where(PLACES.c.endpoint_id == endpoint_id))
        rows = [
            {
                "endpoint_id": endpoint_id,
                "spec": one.spec,
                "device": one.device,
                "share": one.share,
                "memory": one.memory,
            }
            for one in claims
            if one.place
        ]
        if rows:
            await self._connection.execute(insert(PLACES), rows)

    async def of(self, endpoint_id: str) -> Sequence[Claim]:
        """What an endpoint has claimed."""
        query = select(PLACES).where(PLACES.c.endpoint_id == endpoint_id).order_by(*_ORDER)
        return [_claim(row) for row in await self._connection.execute(query)]

    async def all(self) -> Mapping[str, Sequence[Claim]]:
        """What all endpoints have claimed."""
        found: dict[str, list[Claim]] = {}
        for row in await self._connection.execute(select(PLACES).order_by(*_ORDER)):
            found.setdefault(row.endpoint_id, []).append(_claim(row))
        return found


def _claim(row: Row[Any]) -> Claim:
    return Claim(row.spec, row.device, row.share, row.memory)
