"""Secret scopes, ACLs and sealed secrets, on every store."""

import pytest

from penstock.domain.errors import AlreadyExists
from penstock.domain.secret import AclItem, Permission, Sealed, SecretInfo, SecretRecord, SecretRef, SecretScope

TEAM, OWN = SecretScope("Team", 5), SecretScope(":7", 6)


def record(scope, key, *, key_id="k1", content=b"\x00sealed\xff", at=7):
    return SecretRecord(SecretRef(scope, key), Sealed(key_id, content), at)


@pytest.fixture
async def scoped(store):
    async with store.unit() as unit:
        for scope in (TEAM, OWN):
            await unit.secrets.add_scope(scope)
    return store


async def test_scopes_are_found_whatever_their_case(scoped):
    async with scoped.unit() as unit:
        assert await unit.secrets.scope("tEAM") == TEAM
        assert await unit.secrets.scope("other") is None
        assert await unit.secrets.scopes() == [OWN, TEAM]
        with pytest.raises(AlreadyExists, match="Scope TEAM already exists!"):
            await unit.secrets.add_scope(SecretScope("TEAM", 8))


async def test_acls(scoped):
    async with scoped.unit() as unit:
        for name, permission in (("zoe", Permission.READ), ("ann", Permission.MANAGE), ("zoe", Permission.WRITE)):
            await unit.secrets.put_acl("TEAM", AclItem(name, permission))
        await unit.secrets.put_acl(":7", AclItem("zoe", Permission.READ))
    async with scoped.unit() as unit:
        assert await unit.secrets.acl("team") == [AclItem("ann", Permission.MANAGE), AclItem("zoe", Permission.WRITE)]
        assert await unit.secrets.remove_acl("team", "ann") is True
        assert await unit.secrets.remove_acl("team", "ann") is False
        await unit.secrets.forget_principal("zoe")
        assert await unit.secrets.acl("team") == await unit.secrets.acl(":7") == []


async def test_secrets_keep_the_names_that_they_were_given_first(scoped):
    async with scoped.unit() as unit:
        await unit.secrets.put(record("team", "Key"))
        await unit.secrets.put(record("TEAM", "a-key", at=8))
        await unit.secrets.put(record("TEAM", "KEY", content=b"new", at=9))
    async with scoped.unit() as unit:
        assert await unit.secrets.get(SecretRef("team", "kEY")) == record("Team", "Key", content=b"new", at=9)
        assert await unit.secrets.get(SecretRef("team", "none")) is None
        assert await unit.secrets.keys("tEAM") == [SecretInfo("a-key", 8), SecretInfo("Key", 9)]
        assert await unit.secrets.keys(":7") == []
        assert await unit.secrets.remove(SecretRef("team", "KEY")) is True
        assert await unit.secrets.remove(SecretRef("team", "KEY")) is False


async def test_a_scope_goes_with_all_that_is_in_it(scoped):
    async with scoped.unit() as unit:
        await unit.secrets.put_acl("team", AclItem("ann", Permission.READ))
        for scope in ("team", ":7"):
            await unit.secrets.put(record(scope, "key"))
        await unit.secrets.remove_scope("TEAM")
        await unit.secrets.remove_scope("TEAM")
        assert await unit.secrets.scopes() == [OWN]
        assert await unit.secrets.acl("team") == []
        assert await unit.secrets.get(SecretRef("team", "key")) is None
        assert await unit.secrets.get(SecretRef(":7", "key")) == record(":7", "key")


async def test_secrets_by_the_key_that_they_are_sealed_under(scoped):
    async with scoped.unit() as unit:
        for key, key_id in (("a", "old"), ("b", "new"), ("c", "old"), ("d", "older")):
            await unit.secrets.put(record("team", key, key_id=key_id))
        assert dict(await unit.secrets.key_ids()) == {"old": 2, "new": 1, "older": 1}
        found = await unit.secrets.sealed_under_others("new", 2)
        assert [one.ref for one in found] == [SecretRef("Team", "a"), SecretRef("Team", "c")]
        assert len(await unit.secrets.sealed_under_others("new", 9)) == 3
