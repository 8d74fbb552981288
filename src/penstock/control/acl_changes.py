"""Changes of grants on endpoints, told to the data plane in the order in which they were stored."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from penstock.domain.acl import Acl, Grantee
from penstock.ports.store import Store, Unit


class AclChanges:
    """Where all changes of grants pass, one after the other."""

    def __init__(self) -> None:
        self._order = asyncio.Lock()
        self._hearers: list[Callable[[str, Acl], None]] = []

    def on_change(self, hear: Callable[[str, Acl], None]) -> None:
        """Calls `hear` with an endpoint's id and its new grants, as soon as they are stored."""
        self._hearers.append(hear)

    @asynccontextmanager
    async def unit(self, store: Store) -> AsyncIterator["AclUnit"]:
        """A unit that may change grants."""
        async with self._order:
            async with store.unit() as unit:
                changing = AclUnit(unit)
                yield changing
            for endpoint_id, acl in changing.changed.items():
                for hear in self._hearers:
                    hear(endpoint_id, acl)


class AclUnit:
    """One transaction, and the grants that it changes."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.changed: dict[str, Acl] = {}

    async def set(self, endpoint_id: str, acl: Acl) -> None:
        """Stores an endpoint's grants."""
        await self.unit.endpoints.set_acl(endpoint_id, acl)
        self.changed[endpoint_id] = acl

    async def forget(self, gone: Grantee) -> None:
        """Takes all grants of one who is gone: whoever gets the name next does not get them."""
        for endpoint in await self.unit.endpoints.list():
            if gone in endpoint.acl.levels:
                await self.set(endpoint.id, endpoint.acl.without(gone))
