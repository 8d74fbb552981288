"""Principals, tokens, client secrets and the first start, on fakes in virtual time."""

import pytest

from penstock.control.authenticator import Authenticator
from penstock.control.client_secrets import LONGEST_S, MAX_SECRETS, ClientSecrets
from penstock.control.installation import prepare
from penstock.control.principals import Principals
from penstock.control.tokens import Tokens
from penstock.domain.access import ADMINS, USERS, PrincipalKind, Scope, TokenKind
from penstock.domain.errors import (
    AlreadyExists,
    DoesNotExist,
    InvalidParameter,
    PermissionDenied,
    QuotaExceeded,
)
from penstock.domain.group import Group
from penstock.testing.clock import FakeClock
from penstock.testing.store import FakeStore

GIVEN = "an-administrators-token"


class World:
    """One installation, with what acts on it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = FakeStore()
        self.authenticator = Authenticator(self.store, self.clock)
        self.principals = Principals(self.store, self.clock, self.authenticator)
        self.tokens = Tokens(self.store, self.clock, self.authenticator, quota=2, longest_s=None)
        self.secrets = ClientSecrets(self.store, self.clock, token_s=60)

    async def caller(self, value: str = GIVEN):
        return await self.authenticator.authenticate(f"Bearer {value}".encode())


@pytest.fixture
async def world():
    made = World()
    await prepare(made.store, made.clock, GIVEN)
    return made


async def test_the_first_start_makes_an_administrator_and_tells_its_token_once():
    world = World()
    first = await prepare(world.store, world.clock, None)
    assert first.first_token.startswith("dapi")
    assert first.workspace_id.isdigit()
    caller = await world.caller(first.first_token)
    assert caller.principal.groups == {ADMINS, USERS}
    again = await prepare(world.store, world.clock, None)
    assert (again.first_token, again.workspace_id) == (None, first.workspace_id)


async def test_a_given_token_is_kept_and_replaced_when_changed(world):
    kept = (await world.caller()).token_id
    await prepare(world.store, world.clock, GIVEN)
    assert (await World.caller(world)).token_id == kept
    await prepare(world.store, world.clock, "another-token-of-the-administrator")
    world.authenticator.forget_token(kept)
    with pytest.raises(PermissionDenied):
        await world.caller()


async def test_the_first_token_may_become_the_given_one():
    world = World()
    told = (await prepare(world.store, world.clock, None)).first_token
    await prepare(world.store, world.clock, told)
    assert (await world.caller(told)).principal.is_admin
    await prepare(world.store, world.clock, GIVEN)
    world.authenticator.forget_principal((await world.caller()).principal.id)
    with pytest.raises(PermissionDenied):
        await world.caller(told)


async def test_tokens_are_made_listed_and_revoked(world):
    caller = await world.caller()
    value, token = await world.tokens.create(caller, "for ci", 10)
    assert token.expires_at == world.clock.now_ms() + 10_000
    assert token in await world.tokens.list(caller)
    assert (await world.caller(value)).token_id == token.id
    await world.tokens.delete(caller, token.id)
    with pytest.raises(PermissionDenied):
        await world.caller(value)
    with pytest.raises(DoesNotExist):
        await world.tokens.delete(caller, token.id)


async def test_the_quota_counts_living_tokens(world):
    caller = await world.caller()
    await world.tokens.create(caller, "", 10)
    with pytest.raises(QuotaExceeded, match="has 2 tokens, and the limit is 2"):
        await world.tokens.create(caller, "", None)
    await world.clock.advance(10)
    await world.tokens.create(caller, "", None)
    assert await world.tokens.sweep() == ""
    await world.clock.advance(0.001)
    assert await world.tokens.sweep() == "removed 1 expired tokens"


@pytest.mark.parametrize(
    ("lifetime", "longest", "seconds"),
    [(None, None, None), (-1, None, None), (5, None, 5), (None, 7, 7), (-1, 7, 7), (7, 7, 7)],
)
async def test_lifetimes(world, lifetime, longest, seconds):
    tokens = Tokens(world.store, world.clock, world.authenticator, quota=9, longest_s=longest)
    _, token = await tokens.create(await world.caller(), "", lifetime)
    assert token.expires_at == (None if seconds is None else world.clock.now_ms() + seconds * 1000)


@pytest.mark.parametrize("lifetime", [0, -2, 8])
async def test_lifetimes_against_the_rule(world, lifetime):
    tokens = Tokens(world.store, world.clock, world.authenticator, quota=9, longest_s=7)
    with pytest.raises(InvalidParameter, match="lifetime_seconds must be at least 1 and at most 7"):
        await tokens.create(await world.caller(), "", lifetime)


async def test_only_administrators_revoke_tokens_of_others(world):
    admin = await world.caller()
    await world.principals.add_user("u@x.org", "", frozenset())
    user = (await world.principals.list(PrincipalKind.USER))[-1]
    mine = admin.token_id
    other = type(admin)(user, Scope.ALL_APIS, "none")
    with pytest.raises(DoesNotExist):
        await world.tokens.delete(other, mine)
    _, token = await world.tokens.create(other, "", None)
    await world.tokens.delete(admin, token.id)


async def test_nobody_is_in_a_group_that_is_not_there(world):
    with pytest.raises(InvalidParameter, match="there is no group 'team'; make it first"):
        await world.principals.add_user("u@x.org", "", frozenset({"team"}))


async def test_users_and_service_principals(world):
    async with world.store.unit() as unit:
        await unit.groups.add(Group("77", "team"), 0)
    user = await world.principals.add_user("u@x.org", "", frozenset({"team"}))
    robot = await world.principals.add_service_principal("Robot", frozenset())
    assert (user.display_name, user.groups) == ("u@x.org", {"team", USERS})
    assert len(robot.name) == 36
    with pytest.raises(AlreadyExists):
        await world.principals.add_user("u@x.org", "", frozenset())
    with pytest.raises(DoesNotExist, match="Service principal with id"):
        await world.principals.get(PrincipalKind.SERVICE_PRINCIPAL, user.id)
    await world.principals.remove(PrincipalKind.USER, user.id, await world.caller())
    with pytest.raises(DoesNotExist):
        await world.principals.get(PrincipalKind.USER, user.id)


@pytest.mark.parametrize("name", ["", " a", "a\n", "x" * 256])
async def test_names_against_the_rule(world, name):
    with pytest.raises(InvalidParameter, match="userName must have 1 to 255"):
        await world.principals.add_user(name, "", frozenset())


async def test_the_last_administrator_stays(world):
    admin = await world.caller()
    for change in ({"active": False}, {"groups": frozenset()}):
        with pytest.raises(InvalidParameter, match="last active member of the group 'admins'"):
            await world.principals.change(PrincipalKind.USER, admin.principal.id, **change)
    with pytest.raises(InvalidParameter, match="yourself"):
        await world.principals.remove(PrincipalKind.USER, admin.principal.id, admin)
    assert (await world.caller()).principal.is_admin


async def test_client_secrets_buy_tokens_that_expire(world):
    robot = await world.principals.add_service_principal("Robot", frozenset())
    value, secret = await world.secrets.create(robot.id, None)
    assert secret.expires_at == world.clock.now_ms() + LONGEST_S * 1000
    made = await world.secrets.exchange(robot.name, value, Scope.SERVING)
    assert (made.seconds, made.scope) == (60, Scope.SERVING)
    caller = await world.caller(made.value)
    assert (caller.principal, caller.scope) == (robot, Scope.SERVING)
    assert await world.tokens.list(caller) == []
    assert [one.kind for one in await _tokens(world, robot.id)] == [TokenKind.OAUTH]
    await world.clock.advance(60)
    with pytest.raises(PermissionDenied):
        await world.caller(made.value)


async def _tokens(world, principal_id):
    async with world.store.unit() as unit:
        return await unit.access.tokens(principal_id)


async def test_secrets_that_are_wrong_expired_or_revoked_buy_nothing(world):
    robot = await world.principals.add_service_principal("Robot", frozenset())
    value, _ = await world.secrets.create(robot.id, 10)
    assert await world.secrets.exchange(robot.name, value + "x", Scope.ALL_APIS) is None
    assert await world.secrets.exchange("nobody", value, Scope.ALL_APIS) is None
    await world.clock.advance(10)
    assert await world.secrets.exchange(robot.name, value, Scope.ALL_APIS) is None
    value, secret = await world.secrets.create(robot.id, 10)
    await world.principals.change(PrincipalKind.SERVICE_PRINCIPAL, robot.id, active=False)
    assert await world.secrets.exchange(robot.name, value, Scope.ALL_APIS) is None
    await world.principals.change(PrincipalKind.SERVICE_PRINCIPAL, robot.id, active=True)
    await world.secrets.delete(robot.id, secret.id)
    assert await world.secrets.exchange(robot.name, value, Scope.ALL_APIS) is None
    with pytest.raises(DoesNotExist):
        await world.secrets.delete(robot.id, secret.id)


async def test_secrets_are_few_and_for_service_principals_only(world):
    robot = await world.principals.add_service_principal("Robot", frozenset())
    for _ in range(MAX_SECRETS):
        await world.secrets.create(robot.id, None)
    with pytest.raises(QuotaExceeded):
        await world.secrets.create(robot.id, None)
    assert len(await world.secrets.list(robot.id)) == MAX_SECRETS
    with pytest.raises(DoesNotExist):
        await world.secrets.create((await world.caller()).principal.id, None)
    with pytest.raises(InvalidParameter, match="lifetime must be 1 to"):
        await world.secrets.create(robot.id, 0)
