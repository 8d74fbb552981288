"""Rows of the audit log: one suite on memory, SQLite and PostgreSQL."""

from dataclasses import replace

import pytest

from penstock.domain.audit_entry import AuditEntry, AuditFilter, Result

FIRST = AuditEntry(
    "a0", 1_700_000_000_000, "ann@x.org", "t1", "POST", "/api/2.0/serving-endpoints", "serving-endpoints", "guide",
    "10.0.0.7", "1.2.3.4, 5.6.7.8", "sdk/1.0 é", 200, "", "r1",
)  # fmt: skip


async def ids(store, only=None, **page):
    async with store.unit() as unit:
        return [entry.id for entry in await unit.audit.find(only or AuditFilter(), **page)]


async def test_an_entry_comes_back_as_it_was_added_once(store):
    async with store.unit() as unit:
        await unit.audit.add([])
        await unit.audit.add([FIRST])
        await unit.audit.add([replace(FIRST, principal="eve"), replace(FIRST, id="a1")])
    async with store.unit() as unit:
        assert list(await unit.audit.find(AuditFilter())) == [replace(FIRST, id="a1"), FIRST]


async def test_pages_go_from_the_newest_back(store):
    async with store.unit() as unit:
        await unit.audit.add([replace(FIRST, id=f"a{number}") for number in range(5)])
    assert await ids(store, limit=2) == ["a4", "a3"]
    assert await ids(store, after="a3", limit=2) == ["a2", "a1"]
    assert await ids(store, after="a0") == []


@pytest.mark.parametrize(
    ("only", "found"),
    [
        (AuditFilter(principal="bob@x.org"), ["a1"]),
        (AuditFilter(object_type="models"), ["a2"]),
        (AuditFilter(object_name="guide", result=Result.DONE), ["a0"]),
        (AuditFilter(request_id="r3"), ["a3"]),
        (AuditFilter(result=Result.REFUSED), ["a1"]),
        (AuditFilter(result=Result.FAILED), ["a3", "a2"]),
        (AuditFilter(since=FIRST.at + 1, until=FIRST.at + 3), ["a2", "a1"]),
    ],
)
async def test_filters(store, only, found):
    async with store.unit() as unit:
        await unit.audit.add(
            [
                FIRST,
                replace(FIRST, id="a1", at=FIRST.at + 1, principal="bob@x.org", status=403),
                replace(FIRST, id="a2", at=FIRST.at + 2, object_type="models", object_name="m", status=409),
                replace(FIRST, id="a3", at=FIRST.at + 3, request_id="r3", status=500),
            ]
        )
    assert await ids(store, only) == found


async def test_old_entries_are_forgotten(store):
    async with store.unit() as unit:
        await unit.audit.add([replace(FIRST, id=f"a{number}", at=number) for number in range(5)])
        assert await unit.audit.sweep(3) == 3
    assert await ids(store) == ["a4", "a3"]
