"""The real clock over a system's clock that is set."""

import time

import pytest

from penstock.adapters.clock import LASTED_S, SystemClock
from penstock.control.authenticator import Authenticator
from penstock.control.credentials import digest
from penstock.domain.access import USERS, Principal, PrincipalKind, Scope, Token, TokenKind
from penstock.domain.errors import PermissionDenied
from penstock.testing.store import FakeStore

START_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
USER = Principal("2", "user@x.org", "User", PrincipalKind.USER, frozenset({USERS}))


class System:
    """Time that passes by hand, and a wall clock that may be set."""

    def __init__(self):
        self.running = 5_000_000_000
        self.set_by = START_MS * 1_000_000 - self.running

    def wall_ns(self):
        return self.running + self.set_by

    def running_ns(self):
        return self.running

    def set(self, seconds):
        self.set_by += round(seconds * 1e9)


@pytest.fixture
def system():
    return System()


@pytest.fixture
def clock(system):
    return SystemClock(system.wall_ns, system.running_ns)


async def run(system, clock, seconds):
    """Lets time pass with the clock's loop; what it said."""
    said = []
    for _ in range(round(seconds)):
        system.running += 1_000_000_000
        before = clock.now_ms()
        said.append(await clock.step())
        assert clock.now_ms() >= before or said[-1]
    return [one for one in said if one]


@pytest.mark.parametrize("seconds", [3600, -3600, 1.5, -40 * 365 * 86_400])
async def test_a_clock_that_is_set_and_set_back_is_never_noticed(system, clock, seconds):
    await run(system, clock, 10)
    system.set(seconds)
    assert clock.now_ms() == START_MS + 10_000
    said = await run(system, clock, LASTED_S)
    assert len(said) == 1
    assert f"was set by {seconds:+,.0f} s" in said[0]
    system.set(-seconds)
    assert await run(system, clock, 10) == ["the system's clock is right again"]
    assert clock.now_ms() == START_MS + 20_000 + LASTED_S * 1000


@pytest.mark.parametrize("hours", [1, -1])
async def test_a_clock_that_stays_as_it_was_set_is_followed(system, clock, hours):
    system.set(hours * 3600)
    said = await run(system, clock, LASTED_S + 1)
    assert [one.endswith("is followed") for one in said] == [False, True]
    assert clock.now_ms() == START_MS + hours * HOUR_MS + (LASTED_S + 1) * 1000
    assert await run(system, clock, 5) == []


async def test_a_clock_that_is_set_again_is_waited_for_anew(system, clock):
    system.set(3600)
    await run(system, clock, LASTED_S - 1)
    system.set(3600)
    assert len(await run(system, clock, LASTED_S - 1)) == 1
    assert clock.now_ms() == START_MS + 2 * (LASTED_S - 1) * 1000


@pytest.mark.parametrize("seconds", [0.3, -0.3])
async def test_a_small_difference_is_made_up_for_and_time_never_goes_back(system, clock, seconds):
    system.set(seconds)
    assert await run(system, clock, 3) == []
    assert clock.now_ms() == START_MS + 3000 + seconds * 1000


def test_it_is_now():
    clock = SystemClock()
    assert abs(clock.now_ms() - time.time_ns() // 1_000_000) < 1000


async def test_tokens_end_when_their_time_is_over_whatever_the_clock_is_set_to(system, clock):
    store = FakeStore()
    async with store.unit() as unit:
        await unit.access.add_principal(USER, clock.now_ms())
        token = Token("t", "2", TokenKind.PERSONAL, Scope.ALL_APIS, "", clock.now_ms(), clock.now_ms() + 60_000)
        await unit.access.add_token(token, digest("dapi-value"))
    authenticator = Authenticator(store, clock)
    for seconds in (3600, -3600, -3600, 3600):
        await run(system, clock, 5)
        system.set(seconds)
        assert (await authenticator.authenticate(b"Bearer dapi-value")).token_id == "t"
        authenticator.forget_token("t")
    await run(system, clock, 40)
    with pytest.raises(PermissionDenied):
        await authenticator.authenticate(b"Bearer dapi-value")
