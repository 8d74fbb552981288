"""Databases of earlier versions: what they hold is there after the migrations."""

import itertools
from dataclasses import replace

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text
from test_request_rows import FIRST

from penstock.adapters.store.database import transaction
from penstock.adapters.store.request_rows import _values
from penstock.adapters.store.store import SqlStore
from penstock.adapters.store.tables.requests import REQUESTS
from penstock.domain.access import PermissionLevel
from penstock.domain.acl import Grantee, GranteeKind
from penstock.domain.grant import OPEN
from penstock.domain.ledger_entry import digest_of, entered
from penstock.domain.placement import Claim
from penstock.domain.replica import ReplicaState

ENDPOINT = (
    "INSERT INTO endpoints (id, name, taken_name, creator, created_at, updated_at, description, route_optimized, tags, "
    "deleted) VALUES (:id, :id, :id, 'ann', 1, 1, '', false, '[]', false)"
)
CATALOG = (
    "INSERT INTO catalogs (id, name, owner, comment, properties, creator, created_at, updated_by, updated_at) "
    "VALUES ('c1', 'main', 'ann', '', '{}', 'ann', 1, 'ann', 1)"
)
REPLICA = (
    "INSERT INTO replicas (id, endpoint_id, spec, entity_name, entity_version, state, message, share, memory, address, "
    "pid, pid_started, created_at, changed_at, device) VALUES (:id, :endpoint, 's', 'main.default.m', '1', :state, '', "
    ":share, 5000000000, '', 7, 1.5, :at, :at, :device)"
)


NUMBERS = itertools.count()


@pytest.fixture(params=["sqlite", "postgresql"])
def blank_url(request, tmp_path):
    """A database with nothing in it."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/old.db"
    # Not async: what it asks for runs event loops of its own.
    server, name = request.getfixturevalue("postgresql"), f"blank_{next(NUMBERS)}"
    server._query(f"CREATE DATABASE {name}")
    return server.url(name)


@pytest.fixture
async def blank(blank_url):
    store = SqlStore(blank_url)
    yield store
    await store.close()


def upgraded(revision):
    def run(connection):
        config = Config()
        config.set_main_option("script_location", "penstock.adapters.store:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    return run


async def test_replicas_of_one_endpoint_each_become_everybodys_and_their_places_stay(blank):
    async with transaction(blank._engine) as connection:
        await connection.run_sync(upgraded("0014_scaling_inputs"))
        for endpoint in ("one", "two"):
            await connection.execute(text(ENDPOINT), {"id": endpoint})
        rows = [
            ("r1", "one", "ready", 0.25, "cpu0"),
            ("r2", "two", "loading", 0.5, "cpu0"),
            ("r3", "two", "building", 0.125, "cpu1"),
            ("r4", "two", "draining", 0.1, "cpu2"),
            ("r5", "one", "failed", 0.1, "cpu1"),
            ("r6", "one", "ready", 0.1, ""),
        ]
        for at, (key, endpoint, state, share, device) in enumerate(rows):
            values = {"id": key, "endpoint": endpoint, "state": state, "share": share, "device": device, "at": at}
            await connection.execute(text(REPLICA), values)
    await blank.open()
    async with blank.unit() as unit:
        assert await unit.places.all() == {
            "one": [Claim("s", "cpu0", 0.25, 5 * 10**9)],
            "two": [Claim("s", "cpu0", 0.5, 5 * 10**9), Claim("s", "cpu1", 0.125, 5 * 10**9)],
        }
        replicas = await unit.replicas.of(["s"])
        assert [(one.id, one.state.value, one.device, one.pid, one.fatal) for one in replicas] == [
            (row[0], row[2], row[4], 7, False) for row in rows
        ]
        assert [one.id for one in await unit.replicas.live()] == ["r1", "r2", "r3", "r4", "r6"]
        await unit.endpoints.remove("two")
        assert list(await unit.places.all()) == ["one"]
        assert replicas[4].state is ReplicaState.FAILED


async def test_who_could_query_an_endpoint_before_there_were_grants_still_can(blank):
    async with transaction(blank._engine) as connection:
        await connection.run_sync(upgraded("0016_secrets"))
        await connection.execute(text(ENDPOINT), {"id": "one"})
        await connection.execute(text(ENDPOINT.replace("'ann'", "'gone'")), {"id": "two"})
        principal = "INSERT INTO principals VALUES ('1', 'ann', 'Ann', 'service_principal', true, 1)"
        await connection.execute(text(principal))
        await connection.execute(text("INSERT INTO memberships VALUES ('1', 'team'), ('1', 'users')"))
    await blank.open()
    everybody = {Grantee(GranteeKind.GROUP, "users"): PermissionLevel.CAN_QUERY}
    hers = {Grantee(GranteeKind.SERVICE_PRINCIPAL, "ann"): PermissionLevel.CAN_MANAGE}
    async with blank.unit() as unit:
        assert [one.acl.levels for one in await unit.endpoints.list()] == [everybody | hers, everybody]
        assert [group.name for group in await unit.groups.list()] == ["admins", "team", "users"]


async def test_catalogs_stay_open_to_everybody_when_grants_begin(blank):
    async with transaction(blank._engine) as connection:
        await connection.run_sync(upgraded("0020_endpoint_fields"))
        await connection.execute(text(CATALOG))
    await blank.open()
    async with blank.unit() as unit:
        assert await unit.grants.of(["c1"]) == {"c1": {"users": OPEN}}


async def test_requests_of_before_have_no_trace_and_keep_their_digests(blank):
    record = entered(replace(FIRST, trace_id=""), 0)
    assert record.digest == "64aeab2ab6714ccca691a0e252ff427718b8c712ac876b7af803e1019d9bbf85"
    row = dict(zip((column.name for column in REQUESTS.columns), _values(record), strict=True))
    del row["trace_id"]
    listed, marks = ", ".join(row), ", ".join(f":{name}" for name in row)
    async with transaction(blank._engine) as connection:
        await connection.run_sync(upgraded("0018_grants"))
        await connection.execute(text(f"INSERT INTO requests ({listed}) VALUES ({marks})"), row)
    await blank.open()
    async with blank.unit() as unit:
        found = await unit.requests.get(record.request_id)
    assert found == record
    assert digest_of(found) == found.digest


async def test_tokens_of_before_are_for_all_endpoints(blank):
    async with transaction(blank._engine) as connection:
        await connection.run_sync(upgraded("0018_grants"))
        principal = "INSERT INTO principals VALUES ('1', 'ann', 'Ann', 'user', true, 1)"
        await connection.execute(text(principal))
        columns = "id, principal_id, digest, kind, scope, comment, created_at"
        token = f"INSERT INTO tokens ({columns}) VALUES ('t1', '1', 'd1', 'oauth', 'serving', '', 1)"
        await connection.execute(text(token))
    await blank.open()
    async with blank.unit() as unit:
        found = await unit.access.token("t1")
    assert (found.endpoint_id, found.creator_id) == ("", "")
