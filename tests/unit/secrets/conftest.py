"""A store with people and one secret."""

import pytest
from vaults import ADMIN, ANN, BOB, Vault

from penstock.domain.group import Group
from penstock.testing.clock import FakeClock
from penstock.testing.store import FakeStore


@pytest.fixture
async def vault():
    store, clock = FakeStore(), FakeClock()
    async with store.unit() as unit:
        for one in (ADMIN, ANN, BOB):
            await unit.access.add_principal(one.principal, 0)
        await unit.groups.add(Group("77", "team"), 0)
    made = Vault(store, clock)
    await made.scopes.create(ANN, "anns", None)
    await made.secrets.put(ANN, "anns", "key", b"sk-1")
    return made
