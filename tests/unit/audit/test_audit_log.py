"""The audit log while the database is away, when too much waits, and at a stop."""

import asyncio
from dataclasses import replace

import pytest

from penstock.control.audit import DAY_MS, Audit
from penstock.domain.audit_entry import AuditEntry, AuditFilter, clean, name_of, type_of
from penstock.domain.errors import Temporary
from penstock.testing.clock import FakeClock
from penstock.testing.store import FakeStore

DONE = AuditEntry("", 0, "ann", "t", "POST", "/r", "r", "x", "", "", "", 200, "", "q")
REFUSED = replace(DONE, status=401, principal="")


@pytest.fixture
def store():
    return FakeStore()


@pytest.fixture
def clock():
    return FakeClock()


def stored(store):
    return [entry.object_name for _, entry in sorted(store.rows.audit.by_id.items())]


async def test_what_waits_is_written_in_order_when_the_database_is_back(store, clock):
    audit = Audit(store, clock, days=1)
    store.away = True
    for number in range(1200):
        audit.record(replace(DONE, object_name=str(number)))
    with pytest.raises(Temporary):
        await audit.step()
    store.away = False
    await audit.step()
    await audit.step()
    assert stored(store) == [str(number) for number in range(1200)]


async def test_two_who_write_at_once_lose_nothing(store, clock):
    audit = Audit(store, clock, days=1)
    for number in range(1200):
        audit.record(replace(DONE, object_name=str(number)))
    await asyncio.gather(audit.step(), audit.find(AuditFilter(), "", 1), audit.step())
    assert len(stored(store)) == 1200


async def test_changes_are_held_back_when_too_much_waits_and_refusals_do_not_fill_it(store, clock):
    audit = Audit(store, clock, days=1, most=10)
    for _ in range(8):
        audit.record(REFUSED)
    audit.require_room()
    for number in range(5):
        audit.record(replace(DONE, object_name=str(number)))
    with pytest.raises(Temporary):
        audit.require_room()
    await audit.step()
    audit.require_room()
    said = "3 refused requests were not kept one by one"
    assert stored(store) == ["x"] * 5 + ["0", "1", "2", "3", "4", said]
    await audit.step()
    assert len(stored(store)) == 11


async def test_a_stop_writes_all_or_tells_the_servers_log(store, clock, caplog):
    audit = Audit(store, clock, days=1)
    audit.record(DONE)
    await audit.finish()
    assert stored(store) == ["x"]
    store.away = True
    audit.record(replace(DONE, object_name="lost"))
    await audit.finish()
    assert "'object_name': 'lost'" in caplog.text


@pytest.mark.parametrize(("days", "left"), [(1, ["new"]), (0, ["old", "new"])])
async def test_old_entries_are_forgotten(store, clock, days, left):
    audit = Audit(store, clock, days=days)
    audit.record(replace(DONE, object_name="old"))
    await audit.step()
    await clock.advance(DAY_MS / 1000 + 1)
    audit.record(replace(DONE, object_name="new"))
    await audit.step()
    assert stored(store) == left


@pytest.mark.parametrize(
    ("route", "kind"),
    [
        ("/api/2.0/serving-endpoints/{name}/config", "serving-endpoints"),
        ("/api/2.1/unity-catalog/models/{full_name}", "models"),
        ("/api/2.0/mlflow/unity-catalog/registered-models/create", "registered-models"),
        ("/api/2.0/preview/scim/v2/Users", "Users"),
        ("/oidc/v1/token", "token"),
        ("/", ""),
    ],
)
def test_the_kind_of_object(route, kind):
    assert type_of(route) == kind


@pytest.mark.parametrize(
    ("params", "body", "name"),
    [
        (["guide"], {"name": "other"}, "guide"),
        ([], {"name": "a.b.c", "version": "3"}, "a.b.c/3"),
        ([], {"catalog_name": "a", "schema_name": "b", "name": "c"}, "a.b.c"),
        ([], {"scope": "s", "key": "k"}, "s/k"),
        ([], {"userName": "u@x.org"}, "u@x.org"),
        ([], {}, ""),
    ],
)
def test_the_name_of_the_object(params, body, name):
    assert name_of(params, body) == name


def test_texts_are_what_databases_and_terminals_take():
    assert clean("a\0b\ud800\x1b[2J é") == "a?b??[2J é"
    assert len(clean("x" * 9999)) == 512
