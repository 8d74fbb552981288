"""Rows of grants on the catalogue: one suite on memory, SQLite and PostgreSQL."""

from penstock.domain.grant import Privilege

READ, ALL = frozenset({Privilege.EXECUTE, Privilege.USE_SCHEMA}), frozenset({Privilege.ALL_PRIVILEGES})


async def test_grants_come_back_as_they_were_put_last(store):
    async with store.unit() as unit:
        await unit.grants.put("a", {"ann": ALL, "users": ALL})
        await unit.grants.put("a", {"users": READ})
        await unit.grants.put("b", {"ann": READ})
        await unit.grants.put("c", {})
    async with store.unit() as unit:
        assert await unit.grants.of(["a", "b", "c", "d"]) == {"a": {"users": READ}, "b": {"ann": READ}}
        assert await unit.grants.of(["b"]) == {"b": {"ann": READ}}
        assert await unit.grants.of([]) == {}


async def test_what_and_who_is_gone_has_none(store):
    async with store.unit() as unit:
        await unit.grants.put("a", {"users": READ, "ann": READ})
        await unit.grants.put("b", {"users": READ, "ann": READ})
        await unit.grants.forget("b")
        await unit.grants.forget_principal("ann")
        assert await unit.grants.of(["a", "b"]) == {"a": {"users": READ}}
