"""What every store promises: units, failures, claims, migrations."""

import asyncio
import random
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from penstock.adapters.store.database import parse_url, transaction
from penstock.adapters.store.migrations import HEAD
from penstock.adapters.store.schema import METADATA
from penstock.adapters.store.store import SqlStore
from penstock.domain.access import Principal, PrincipalKind
from penstock.domain.errors import AlreadyExists, Conflict, InvalidParameter, PenstockError, Temporary


def user(number: int, name: str | None = None) -> Principal:
    return Principal(str(number), name or f"u{number}@x.org", "U", PrincipalKind.USER, frozenset({"users"}))


class Broken(Exception):
    pass


async def test_a_unit_commits_when_its_block_ends(store):
    async with store.unit() as unit:
        await unit.access.add_principal(user(1), 5)
        assert await unit.access.principal("1") == user(1)
    async with store.unit() as unit:
        assert await unit.access.principal("1") == user(1)


async def test_a_unit_rolls_back_when_its_block_raises(store):
    async def work() -> None:
        async with store.unit() as unit:
            await unit.access.add_principal(user(1), 5)
            raise Broken

    with pytest.raises(Broken):
        await work()
    async with store.unit() as unit:
        assert await unit.access.principal("1") is None


async def test_a_unit_rolls_back_when_its_task_is_cancelled(store):
    inside = asyncio.Event()

    async def work() -> None:
        async with store.unit() as unit:
            await unit.access.add_principal(user(1), 5)
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with store.unit() as unit:
        assert await unit.access.principal("1") is None


async def test_units_cancelled_at_any_moment_leave_the_database_free(store):
    async def work() -> None:
        while True:
            async with store.unit() as unit:
                with pytest.raises(AlreadyExists):
                    await unit.access.add_principal(user(1), 5)
                await unit.requests.count()
            await asyncio.sleep(0)

    async with store.unit() as unit:
        await unit.access.add_principal(user(1), 5)
    for _ in range(150):
        tasks = [asyncio.create_task(work()) for _ in range(3)]
        # Not virtual: the driver's own thread, or the database's process, is what this is about.
        await asyncio.sleep(0.004 * random.random())
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(error) for error in ended] == [asyncio.CancelledError] * 3
        async with asyncio.timeout(5), store.unit() as unit:
            await unit.requests.count()


async def test_a_duplicate_leaves_the_unit_usable(store):
    async with store.unit() as unit:
        await unit.access.add_principal(user(1, "a@x.org"), 5)
        with pytest.raises(AlreadyExists, match=r"a@x\.org"):
            await unit.access.add_principal(user(2, "a@x.org"), 5)
        await unit.access.add_principal(user(3), 5)
    async with store.unit() as unit:
        assert [found.id for found in await unit.access.principals(PrincipalKind.USER)] == ["1", "3"]


async def test_units_run_one_after_another(store):
    async def add(number: int) -> None:
        async with store.unit() as unit:
            before = len(await unit.access.principals(PrincipalKind.USER))
            await asyncio.sleep(0)
            await unit.access.add_principal(user(number, f"{before:02}@x.org"), 5)

    await asyncio.gather(*(add(number) for number in range(20)))
    async with store.unit() as unit:
        names = [found.name for found in await unit.access.principals(PrincipalKind.USER)]
    assert names == [f"{number:02}@x.org" for number in range(20)]


async def test_a_unit_inside_a_unit_is_refused_at_once(store):
    async with store.unit():
        with pytest.raises(PenstockError, match="inside a unit"):
            async with store.unit():
                pass


async def test_a_store_that_answers_is_pinged(store):
    assert await store.ping() is None


async def test_the_migrations_lead_to_the_tables(sql_store):
    async with transaction(sql_store._engine) as connection:
        differences = await connection.run_sync(
            lambda plain: compare_metadata(MigrationContext.configure(plain, opts={"compare_type": True}), METADATA)
        )
    assert differences == []


async def test_the_newest_migration_is_the_one_that_is_looked_for(sql_store):
    async with transaction(sql_store._engine) as connection:
        revision = await connection.run_sync(lambda plain: MigrationContext.configure(plain).get_current_revision())
    config = Config()
    config.set_main_option("script_location", "penstock.adapters.store:migrations")
    assert revision == HEAD == ScriptDirectory.from_config(config).get_current_head()


async def test_a_second_server_on_the_same_database_is_refused_until_the_first_is_gone(database_url):
    first, second = SqlStore(database_url), SqlStore(database_url)
    await first.open()
    with pytest.raises(Conflict, match="in use by another Penstock server"):
        await second.open()
    await first.close()
    await second.open()
    await second.close()


async def test_a_schema_newer_than_the_program_is_refused(database_url):
    store = SqlStore(database_url)
    async with transaction(store._engine) as connection:
        await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999_future'")
    with pytest.raises(Conflict, match="9999_future"):
        await store.open()
    await store.close()


async def test_a_server_that_is_away_is_temporary():
    store = SqlStore("postgresql://nobody@127.0.0.1:9/none")
    with pytest.raises(Temporary, match="cannot be reached"):
        async with store.unit():
            pass
    await store.close()


async def test_a_file_that_cannot_be_opened_is_temporary(tmp_path: Path):
    store = SqlStore(f"sqlite:///{tmp_path}/missing/penstock.db")
    with pytest.raises(Temporary, match="unable to open"):
        async with store.unit():
            pass
    await store.close()
    # The driver's thread ends by itself, but tells this loop about it, which must live until then.
    for thread in threading.enumerate():
        if "_connection_worker_thread" in thread.name:
            await asyncio.to_thread(thread.join)


async def lose_connections(postgresql, store):
    await asyncio.to_thread(
        postgresql._query,
        f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{store._url.database}'",
    )


async def refused(url):
    other = SqlStore(url)
    with pytest.raises(Conflict):
        await other.open()
    await other.close()


@pytest.mark.parametrize("by", ["unit", "ping"])
async def test_lost_connections_heal_and_so_does_the_claim(postgresql, by):
    url = await asyncio.to_thread(postgresql.fresh)
    store = SqlStore(url)
    await store.open()
    async with store.unit() as unit:
        await unit.access.add_principal(user(1), 5)
    await lose_connections(postgresql, store)
    if by == "ping":
        await store.ping()
    async with store.unit() as unit:
        assert await unit.access.principal("1") == user(1)
    await refused(url)
    await store.close()


async def test_a_server_whose_database_another_one_took_meanwhile_changes_nothing_in_it(postgresql):
    url = await asyncio.to_thread(postgresql.fresh)
    first, second = SqlStore(url), SqlStore(url)
    await first.open()
    async with first.unit() as unit:
        await unit.requests.count()
    await lose_connections(postgresql, first)
    await second.open()
    for _ in range(2):
        with pytest.raises(Temporary, match="Another Penstock server has taken the database"):
            async with first.unit():
                pass
    with pytest.raises(Temporary, match="Another Penstock server"):
        await first.ping()
    async with second.unit() as unit:
        await unit.access.add_principal(user(1), 5)
    await second.close()
    async with first.unit() as unit:
        assert await unit.access.principal("1") == user(1)
    await refused(url)
    await first.close()


async def test_a_session_that_the_database_does_not_know_to_be_lost_does_not_keep_its_own_server_out(postgresql):
    url = await asyncio.to_thread(postgresql.fresh)
    store = SqlStore(url)
    await store.open()
    claim = store._claim
    lost, claim._connection = claim._connection, None
    await store.ping()
    await refused(url)
    again, claim._connection = claim._connection, lost
    await claim._forget()
    claim._connection = again
    await refused(url)
    await store.close()


async def test_the_claim_survives_many_who_ask_at_once(postgresql):
    url = await asyncio.to_thread(postgresql.fresh)
    store = SqlStore(url)
    await store.open()
    held = store._claim._connection
    await asyncio.gather(*(store.ping() for _ in range(20)))
    assert store._claim._connection is held
    await store.close()


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("sqlite:////var/lib/p.db", "sqlite+aiosqlite:////var/lib/p.db"),
        ("postgresql://u:p@h:5/d", "postgresql+asyncpg://u:p@h:5/d"),
        ("postgres://h/d?sslmode=require", "postgresql+asyncpg://h/d?ssl=require"),
    ],
)
def test_users_urls_are_understood(given, meant):
    assert parse_url(given).render_as_string(hide_password=False) == meant


@pytest.mark.parametrize("url", ["mysql://h/d", "nonsense", "sqlite://", "sqlite:///"])
def test_other_urls_are_refused(url):
    with pytest.raises(InvalidParameter, match="database must"):
        parse_url(url)


async def test_a_schema_for_another_programs_tables_is_made_once(sql_store):
    for _ in range(2):
        await sql_store.make_schema("mlflow")
    async with transaction(sql_store._engine) as connection:
        if connection.dialect.name == "postgresql":
            found = await connection.scalar(text("SELECT count(*) FROM pg_namespace WHERE nspname = 'mlflow'"))
            assert found == 1
