"""The store three times: in memory, on SQLite, on PostgreSQL. A contract test that takes `store` runs on each."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from penstock.adapters.store.store import SqlStore
from penstock.testing.postgresql import PostgresServer
from penstock.testing.store import FakeStore


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresServer]:
    server = PostgresServer()
    server.start()
    try:
        asyncio.run(_prepare(server.make_template()))
        yield server
    finally:
        server.stop()


async def _prepare(url: str) -> None:
    store = SqlStore(url)
    await store.open()
    await store.close()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("template") / "penstock.db"
    asyncio.run(_prepare(f"sqlite:///{path}"))
    return path.read_bytes()


def _fresh(kind: str, request: pytest.FixtureRequest, folder: Path) -> str:
    """The URL of a database with the schema and nothing in it."""
    if kind == "postgresql":
        return request.getfixturevalue("postgresql").fresh()
    path = folder / "penstock.db"
    path.write_bytes(request.getfixturevalue("sqlite_template"))
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return _fresh(request.param, request, tmp_path)


@pytest.fixture
async def sql_store(database_url: str) -> AsyncIterator[SqlStore]:
    store = SqlStore(database_url)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture(params=["fake", "sqlite", "postgresql"])
def unopened_store(request: pytest.FixtureRequest, tmp_path: Path) -> FakeStore | SqlStore:
    # Not async: the fixtures that it asks for run event loops of their own.
    return FakeStore() if request.param == "fake" else SqlStore(_fresh(request.param, request, tmp_path))


@pytest.fixture
async def store(unopened_store: FakeStore | SqlStore) -> AsyncIterator[FakeStore | SqlStore]:
    """The store under contract."""
    await unopened_store.open()
    try:
        yield unopened_store
    finally:
        await unopened_store.close()
