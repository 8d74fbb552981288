"""Who is calling, on fakes in virtual time."""

import asyncio
import base64
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from penstock.control.authenticator import MAX_KNOWN, Authenticator, token_in
from penstock.control.credentials import digest
from penstock.domain.access import USERS, Principal, PrincipalKind, Scope, Token, TokenKind
from penstock.domain.errors import PermissionDenied, Temporary, Unauthenticated
from penstock.testing.clock import FakeClock
from penstock.testing.store import FakeStore

USER = Principal("2", "user@x.org", "User", PrincipalKind.USER, frozenset({USERS}))
HEADER = b"Bearer dapi-value"


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
async def store(clock):
    made = FakeStore()
    async with made.unit() as unit:
        await unit.access.add_principal(USER, clock.now_ms())
        token = Token("t", "2", TokenKind.PERSONAL, Scope.ALL_APIS, "", clock.now_ms(), clock.now_ms() + 60_000)
        await unit.access.add_token(token, digest("dapi-value"))
    return made


@pytest.fixture
def authenticator(store, clock):
    return Authenticator(store, clock)


def basic(text: str) -> bytes:
    return b"Basic " + base64.b64encode(text.encode())


@pytest.mark.parametrize("header", [HEADER, b"bearer  dapi-value ", basic("token:dapi-value")])
async def test_a_token_in_any_of_its_forms(authenticator, header):
    caller = await authenticator.authenticate(header)
    assert (caller.principal, caller.scope, caller.token_id) == (USER, Scope.ALL_APIS, "t")
    assert authenticator.known(header) is caller


@pytest.mark.parametrize(
    "header", [None, b"", b"Bearer", b"Bearer ", b"Digest x", basic("user:dapi-value"), basic("token:"), b"Basic %%%"]
)
async def test_no_credential_of_ours(authenticator, header):
    with pytest.raises(Unauthenticated, match="Credential was not sent"):
        await authenticator.authenticate(header)


def test_a_token_with_odd_bytes_is_no_credential():
    with pytest.raises(Unauthenticated):
        token_in(b"Bearer \xff\xfe")


async def test_an_unknown_token(authenticator):
    with pytest.raises(PermissionDenied, match=r"Invalid access token\."):
        await authenticator.authenticate(b"Bearer other")


async def test_an_expired_token_from_the_database_and_from_memory(authenticator, clock):
    await authenticator.authenticate(HEADER)
    await clock.advance(59.9)
    assert authenticator.known(HEADER) is not None
    await clock.advance(0.1)
    assert authenticator.known(HEADER) is None
    with pytest.raises(PermissionDenied):
        await authenticator.authenticate(HEADER)


async def test_revocation_counts_at_once(authenticator, store):
    await authenticator.authenticate(HEADER)
    async with store.unit() as unit:
        await unit.access.remove_token("t")
    authenticator.forget_token("t")
    with pytest.raises(PermissionDenied):
        await authenticator.authenticate(HEADER)


async def test_deactivation_counts_at_once(authenticator, store):
    await authenticator.authenticate(HEADER)
    async with store.unit() as unit:
        await unit.access.save_principal(replace(USER, active=False))
    authenticator.forget_principal("2")
    with pytest.raises(PermissionDenied):
        await authenticator.authenticate(HEADER)


class SlowToReturn(FakeStore):
    """Ends its units, and then waits before it lets their tasks go on."""

    def __init__(self, rows):
        super().__init__()
        self.rows = rows
        self.ended, self.go_on = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def unit(self):
        async with super().unit() as unit:
            yield unit
        self.ended.set()
        await self.go_on.wait()


async def test_a_revocation_while_the_token_is_on_its_way_is_not_missed(store, clock):
    slow = SlowToReturn(store.rows)
    authenticator = Authenticator(slow, clock)
    asking = asyncio.create_task(authenticator.authenticate(HEADER))
    await slow.ended.wait()
    await slow.rows.access.remove_token("t")
    authenticator.forget_token("t")
    slow.go_on.set()
    with pytest.raises(PermissionDenied):
        await asking


async def test_known_callers_go_on_while_the_database_is_away(authenticator, store):
    await authenticator.authenticate(HEADER)
    store.away = True
    assert (await authenticator.authenticate(HEADER)).principal == USER
    with pytest.raises(Temporary):
        await authenticator.authenticate(b"Bearer other")


async def test_last_uses_are_written_in_batches_and_not_lost(authenticator, store, clock):
    await authenticator.authenticate(HEADER)
    first = clock.now_ms()
    store.away = True
    with pytest.raises(Temporary):
        await authenticator.write_uses()
    store.away = False
    assert await authenticator.write_uses() == "noted the last use of 1 tokens"
    assert store.rows.access.token_by_id["t"].last_used_at == first
    assert await authenticator.write_uses() == ""
    await clock.advance(5)
    authenticator.known(HEADER)
    await authenticator.write_uses()
    assert store.rows.access.token_by_id["t"].last_used_at == first + 5000


async def test_memory_is_bounded(authenticator):
    for number in range(MAX_KNOWN + 5):
        await authenticator.authenticate(HEADER + b" " * (number + 1))
    assert authenticator.known(HEADER + b" ") is None
    assert len(authenticator._known) == MAX_KNOWN
