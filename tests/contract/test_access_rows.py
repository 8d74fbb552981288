"""Principals, tokens and client secrets, on every store."""

from dataclasses import replace

import pytest

from penstock.domain.access import ClientSecret, Principal, PrincipalKind, Scope, Token, TokenKind
from penstock.domain.errors import AlreadyExists
from penstock.domain.group import Group

ANN = Principal("1", "ann@x.org", "Ann", PrincipalKind.USER, frozenset({"admins", "users"}))
BOB = Principal("2", "bob@x.org", "Bob", PrincipalKind.USER, frozenset(), active=False)
BOT = Principal("3", "0b0t", "Bot", PrincipalKind.SERVICE_PRINCIPAL, frozenset({"users"}))
TOKEN = Token("t1", "1", TokenKind.PERSONAL, Scope.SERVING, "ci", 10, 20, None)


@pytest.fixture
async def peopled(store):
    async with store.unit() as unit:
        for principal in (BOB, BOT, ANN):
            await unit.access.add_principal(principal, 5)
    return store


async def test_the_workspace_id_is_set_once(store):
    async with store.unit() as unit:
        assert await unit.access.workspace_id() is None
        await unit.access.set_workspace_id("77")
        with pytest.raises(AlreadyExists):
            await unit.access.set_workspace_id("78")
    async with store.unit() as unit:
        assert await unit.access.workspace_id() == "77"


async def test_principals_are_found(peopled):
    async with peopled.unit() as unit:
        assert await unit.access.principal("1") == ANN
        assert await unit.access.principal("9") is None
        assert await unit.access.principal_named("bob@x.org") == BOB
        assert await unit.access.principal_named("BOB@x.org") is None
        assert await unit.access.principals(PrincipalKind.USER) == [ANN, BOB]
        assert await unit.access.principals(PrincipalKind.SERVICE_PRINCIPAL) == [BOT]


async def test_ids_and_names_are_unique(peopled):
    async with peopled.unit() as unit:
        for taken in (replace(ANN, id="9"), replace(ANN, name="other")):
            with pytest.raises(AlreadyExists):
                await unit.access.add_principal(taken, 5)


async def test_a_principal_is_changed(peopled):
    changed = replace(ANN, display_name="Anna", groups=frozenset({"team", "users"}), active=False)
    async with peopled.unit() as unit:
        await unit.access.save_principal(changed)
    async with peopled.unit() as unit:
        assert await unit.access.principal("1") == changed
        assert await unit.access.principal("2") == BOB


async def test_a_principal_goes_with_all_that_is_theirs(peopled):
    async with peopled.unit() as unit:
        await unit.access.add_token(TOKEN, "d1")
        await unit.access.add_secret(ClientSecret("s1", "1", "e1", 10, 20))
        assert await unit.access.remove_principal("1") is True
        assert await unit.access.remove_principal("1") is False
    async with peopled.unit() as unit:
        assert await unit.access.token("t1") is None
        assert await unit.access.by_digest("d1") is None
        assert await unit.access.secrets("1") == []


async def test_tokens_are_found(peopled):
    older = Token("t0", "1", TokenKind.OAUTH, Scope.SERVING, "", 9, None, 15, "e1", "2")
    async with peopled.unit() as unit:
        await unit.access.add_token(TOKEN, "d1")
        await unit.access.add_token(older, "d0")
        with pytest.raises(AlreadyExists):
            await unit.access.add_token(replace(TOKEN, id="t2"), "d1")
    async with peopled.unit() as unit:
        assert await unit.access.by_digest("d1") == (TOKEN, ANN)
        assert await unit.access.by_digest("none") is None
        assert await unit.access.token("t0") == older
        assert await unit.access.tokens("1") == [older, TOKEN]
        assert await unit.access.tokens("2") == []
        assert await unit.access.tokens_of_kind(TokenKind.OAUTH) == [older]


async def test_tokens_are_removed_and_their_uses_noted(peopled):
    async with peopled.unit() as unit:
        await unit.access.add_token(TOKEN, "d1")
        await unit.access.used({"t1": 17, "gone": 18})
        await unit.access.used({})
        assert await unit.access.token("t1") == replace(TOKEN, last_used_at=17)
        assert await unit.access.remove_token("t1") is True
        assert await unit.access.remove_token("t1") is False
        assert await unit.access.by_digest("d1") is None


async def test_expired_tokens_are_swept(peopled):
    async with peopled.unit() as unit:
        await unit.access.add_token(TOKEN, "d1")
        await unit.access.add_token(replace(TOKEN, id="t2", expires_at=None), "d2")
        assert await unit.access.sweep_tokens(20) == 0
        assert await unit.access.sweep_tokens(21) == 1
        assert [token.id for token in await unit.access.tokens("1")] == ["t2"]


async def test_client_secrets(peopled):
    first, second = ClientSecret("s1", "3", "e1", 10, 20), ClientSecret("s2", "3", "e2", 11, 20)
    async with peopled.unit() as unit:
        await unit.access.add_secret(second)
        await unit.access.add_secret(first)
        assert await unit.access.secrets("3") == [first, second]
        assert await unit.access.remove_secret("1", "s1") is False
        assert await unit.access.remove_secret("3", "s1") is True
        assert await unit.access.remove_secret("3", "s1") is False
        assert await unit.access.secrets("3") == [second]


async def test_groups_come_and_go(store):
    team = Group("77", "team")
    async with store.unit() as unit:
        before = await unit.groups.list()
        assert [group.name for group in before] == ["admins", "users"]
        assert all(group.id.isdigit() for group in before)
        await unit.groups.add(team, 5)
        for twin in (Group("78", "team"), Group("77", "crew")):
            with pytest.raises(AlreadyExists, match=twin.name):
                await unit.groups.add(twin, 5)
    async with store.unit() as unit:
        assert await unit.groups.list() == [before[0], team, before[1]]
        assert await unit.groups.get("77") == await unit.groups.named("team") == team
        assert await unit.groups.named("Team") is None
        await unit.groups.remove("77")
        assert await unit.groups.get("77") is None
        assert await unit.groups.list() == before
