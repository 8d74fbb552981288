"""A database that is only read, on SQLite and PostgreSQL: beside its server, as of one moment, and without a change."""

import pytest
from test_request_rows import FIRST

from penstock.adapters.store.database import transaction
from penstock.adapters.store.reader import SqlReader
from penstock.adapters.store.store import SqlStore
from penstock.control.ledger import LedgerKeeper
from penstock.control.ledger_audit import verify
from penstock.control.ledger_minutes import LedgerMinutes
from penstock.domain.errors import Conflict
from penstock.testing.clock import FakeClock
from penstock.testing.journal import FakeJournal


@pytest.fixture
async def reader(database_url):
    made = SqlReader(database_url)
    yield made
    await made.close()


async def test_what_a_server_writes_meanwhile_is_not_seen(reader, sql_store):
    async with reader.unit() as seen:
        assert await seen.requests.count() == 0
        async with sql_store.unit() as unit:
            await unit.requests.add([FIRST])
        assert await seen.requests.count() == 0
    async with reader.unit() as seen:
        assert await seen.requests.get(FIRST.request_id) == FIRST


async def test_nothing_can_be_written(reader, sql_store):
    with pytest.raises(Exception, match=r"read-?only"):
        async with reader.unit() as unit:
            await unit.requests.add([FIRST])
    async with sql_store.unit() as unit:
        assert await unit.requests.get(FIRST.request_id) is None


async def test_a_database_of_another_version_is_refused(reader, sql_store):
    async with transaction(sql_store._engine) as connection:
        await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001_access'")
    with pytest.raises(Conflict, match="of another version"):
        async with reader.unit():
            pass


async def test_a_ledger_is_verified_from_what_the_database_gives_back(database_url):
    store, clock, journal = SqlStore(database_url), FakeClock(FIRST.received_at), FakeJournal()
    await store.open()
    keeper = LedgerKeeper(journal, store, LedgerMinutes(store, clock, lambda: ()))
    journal.ended(FIRST)
    await keeper.step()
    await clock.advance(3600)
    await keeper.step()
    await store.close()
    reader = SqlReader(database_url)
    async with reader.unit() as unit:
        verdict = await verify(unit)
    await reader.close()
    assert (verdict.findings, verdict.minutes, verdict.hours, verdict.requests) == ([], 1, 1, 1)
