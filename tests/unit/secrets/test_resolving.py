"""Secrets as requests need them: from memory, as they are now, and only for who may read them."""

import asyncio

import pytest
from vaults import ADMIN, ANN, BOB

from penstock.domain.access import PrincipalKind
from penstock.domain.errors import DoesNotExist, InvalidRequest, PenstockError, PermissionDenied, Temporary
from penstock.domain.secret import AclItem, Hidden, Permission, Sealed, SecretRecord, SecretRef

KEY = SecretRef("anns", "key")


async def test_who_may_read_gets_the_text(vault):
    for reader in (ANN, ADMIN):
        assert await vault.secrets.resolve(KEY, reader.principal) == Hidden("sk-1")
        assert await vault.secrets.resolve_as(SecretRef("ANNS", "Key"), reader.principal.name) == Hidden("sk-1")


async def test_who_may_not_does_not_even_if_it_is_in_memory(vault):
    for _ in range(2):
        with pytest.raises(PermissionDenied, match="bob does not have READ permission on scope anns"):
            await vault.secrets.resolve(KEY, BOB.principal)
        await vault.secrets.resolve(KEY, ANN.principal)


async def test_what_is_not_there(vault):
    with pytest.raises(DoesNotExist, match="Secret does not exist with scope: anns and key: other"):
        await vault.secrets.resolve(SecretRef("anns", "other"), ANN.principal)
    with pytest.raises(DoesNotExist, match="Scope none does not exist!"):
        await vault.secrets.resolve(SecretRef("none", "key"), ANN.principal)
    with pytest.raises(PermissionDenied):  # and is not told who may not read
        await vault.secrets.resolve(SecretRef("anns", "other"), BOB.principal)


async def test_requests_go_on_while_the_database_is_away(vault):
    await vault.secrets.resolve_as(KEY, "ann")
    await vault.secrets.put(ANN, "anns", "second", b"sk-2")
    await vault.secrets.resolve_as(KEY, "ann")
    vault.store.away = True
    assert await vault.secrets.resolve_as(KEY, "ann") == Hidden("sk-1")
    with pytest.raises(Temporary):
        await vault.secrets.resolve_as(SecretRef("anns", "second"), "ann")
    vault.store.away = False
    assert await vault.secrets.resolve_as(SecretRef("anns", "second"), "ann") == Hidden("sk-2")


async def test_changes_take_effect_at_once(vault):
    await vault.secrets.resolve_as(KEY, "ann")
    await vault.secrets.put(ANN, "ANNS", "KEY", b"sk-2")
    assert await vault.secrets.resolve_as(KEY, "ann") == Hidden("sk-2")
    await vault.scopes.put_acl(ANN, "anns", AclItem("team", Permission.READ))
    assert await vault.secrets.resolve_as(KEY, "bob") == Hidden("sk-2")
    await vault.principals.change(PrincipalKind.USER, "3", groups=frozenset())
    with pytest.raises(PermissionDenied):
        await vault.secrets.resolve_as(KEY, "bob")
    await vault.scopes.put_acl(ANN, "anns", AclItem("bob", Permission.READ))
    await vault.secrets.resolve_as(KEY, "bob")
    await vault.principals.change(PrincipalKind.USER, "3", active=False)
    with pytest.raises(PermissionDenied, match="bob is not active"):
        await vault.secrets.resolve_as(KEY, "bob")
    await vault.scopes.delete_acl(ANN, "anns", "ann")
    with pytest.raises(PermissionDenied):
        await vault.secrets.resolve_as(KEY, "ann")
    await vault.secrets.delete(ADMIN, "anns", "key")
    with pytest.raises(DoesNotExist):
        await vault.secrets.resolve_as(KEY, "admin")
    await vault.scopes.delete(ADMIN, "anns")
    with pytest.raises(DoesNotExist):
        await vault.secrets.resolve_as(KEY, "admin")


async def test_a_change_while_the_secret_is_being_read_is_not_missed(vault):
    async with vault.store.unit():
        reading = asyncio.create_task(vault.secrets.resolve(KEY, ANN.principal))
        changing = asyncio.create_task(vault.secrets.put(ANN, "anns", "key", b"sk-2"))
        await asyncio.sleep(0)
    await changing
    assert await reading in (Hidden("sk-1"), Hidden("sk-2"))
    assert await vault.secrets.resolve(KEY, ANN.principal) == Hidden("sk-2")


async def test_a_principal_that_is_gone_leaves_no_rights_to_its_name(vault):
    await vault.scopes.put_acl(ANN, "anns", AclItem("bob", Permission.READ))
    await vault.secrets.resolve_as(KEY, "bob")
    await vault.principals.remove(PrincipalKind.USER, "3", ADMIN)
    with pytest.raises(PermissionDenied, match="bob is gone"):
        await vault.secrets.resolve_as(KEY, "bob")
    await vault.principals.add_user("bob", "Bob the second", frozenset())
    with pytest.raises(PermissionDenied, match="bob does not have READ"):
        await vault.secrets.resolve_as(KEY, "bob")


async def test_what_was_planted_is_for_its_owner_only_and_in_no_list(vault):
    ref = await vault.secrets.plant(BOB.principal, "sk-planted")
    second = await vault.secrets.plant(BOB.principal, "sk-other")
    assert ref.own
    assert ref != second
    assert await vault.secrets.resolve_as(ref, "bob") == Hidden("sk-planted")
    with pytest.raises(PermissionDenied, match="ann does not have READ permission on Penstock's own secrets"):
        await vault.secrets.resolve(ref, ANN.principal)
    assert [scope.name for scope in await vault.scopes.list()] == ["anns"]
    await vault.secrets.uproot(ref)
    await vault.secrets.uproot(ref)
    await vault.secrets.uproot(KEY)
    with pytest.raises(DoesNotExist):
        await vault.secrets.resolve_as(ref, "bob")
    assert await vault.secrets.resolve_as(second, "bob") == Hidden("sk-other")
    assert await vault.secrets.resolve_as(KEY, "ann") == Hidden("sk-1")


async def test_what_is_not_text_is_said_so_and_its_error_holds_nothing_of_it(vault):
    await vault.secrets.put(ANN, "anns", "bytes", b"sk-\xff\xfe")
    with pytest.raises(InvalidRequest, match="is not UTF-8 text") as refused:
        await vault.secrets.resolve(SecretRef("anns", "bytes"), ANN.principal)
    assert refused.value.__context__ is None
    assert await vault.secrets.get(ANN, "anns", "bytes") == ("bytes", b"sk-\xff\xfe")


async def test_a_value_that_was_moved_to_another_secret_does_not_open_there(vault):
    await vault.secrets.put(ANN, "anns", "mine", b"own")
    async with vault.store.unit() as unit:
        stolen = (await unit.secrets.get(KEY)).sealed
        await unit.secrets.put(SecretRecord(SecretRef("anns", "mine"), stolen, 0))
        await unit.secrets.put(SecretRecord(KEY, Sealed("0" * 16, stolen.content), 0))
    with pytest.raises(PenstockError, match="was altered"):
        await vault.secrets.resolve(SecretRef("anns", "mine"), ANN.principal)
    with pytest.raises(PenstockError, match="sealed under the master key 0000000000000000"):
        await vault.secrets.resolve(KEY, ANN.principal)
