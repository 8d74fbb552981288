"""Several gateways with one limit: their sum, whatever gets lost between them and the common budget."""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.domain.access import Principal, PrincipalKind
from penstock.domain.errors import LimitExceeded
from penstock.domain.model import Task
from penstock.domain.rate_limit import Holding, LimitKey, RateLimit
from penstock.domain.rate_meter import RateMeter, Reservation, Unit
from penstock.domain.rate_window import SLOT_S, WINDOW_S
from penstock.domain.routing import EndpointRoute
from penstock.domain.usage import Usage
from penstock.gateway.call import Asked
from penstock.gateway.count import Size
from penstock.gateway.leasing import Leasing
from penstock.gateway.limits import Limits, Terms
from penstock.testing.clock import FakeClock
from penstock.testing.lease import FakeBudgets, FakeLeases

LIMIT = 100
ONE = Holding(RateLimit(tokens=LIMIT))
ANN = Principal("1", "ann", "Ann", PrincipalKind.USER, frozenset())
LEASE_S = 30.0


@dataclass
class Answer:
    reservation: Reservation
    real: int
    come: int = 0


class Handmade:
    """Time that a test sets."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now

    def now_ms(self):
        return round(self.now * 1000)


@dataclass
class Gateway:
    """One gateway's meter and its leasing."""

    leases: FakeLeases
    leasing: Leasing
    meter: RateMeter
    open: list = field(default_factory=list)


class World:
    def __init__(self, count=3):
        self.clock = Handmade()
        self.common = FakeBudgets(self.clock)
        self.log = []
        self.gateways = []
        for number in range(count):
            leases = FakeLeases(self.common, f"g{number}")
            leasing = Leasing(leases, self.clock, LEASE_S)
            meter = RateMeter(lambda holding, unit, limit, leasing=leasing: leasing.window("e", holding, unit, limit))
            self.gateways.append(Gateway(leases, leasing, meter))

    def trade(self, gateway):
        step = gateway.leasing.step()
        with pytest.raises(StopIteration):
            step.send(None)

    def act(self, kind, number, amount):
        gateway = self.gateways[number % len(self.gateways)]
        if kind == "reserve":
            got = gateway.meter.reserve([(ONE,)], amount, self.clock.now)
            if isinstance(got, Reservation):
                gateway.open.append(Answer(got, amount))
        elif kind == "trade":
            self.trade(gateway)
        elif kind == "down":
            gateway.leases.down = not gateway.leases.down
        elif kind == "deaf":
            gateway.leases.deaf = not gateway.leases.deaf
        elif gateway.open:
            answer = gateway.open[amount % len(gateway.open)]
            more = min(amount, answer.real - answer.come)
            if kind != "drop":
                answer.come += more
                self.log.append((self.clock.now, more))
            answer.reservation.stream(answer.come, self.clock.now)
            if kind != "stream":
                answer.reservation.settle(answer.come, self.clock.now)
                gateway.open.remove(answer)

    def used(self):
        return sum(tokens for at, tokens in self.log if at > self.clock.now - WINDOW_S)


KINDS = ["reserve", "reserve", "trade", "trade", "stream", "settle", "drop", "down", "deaf"]
ACTS = st.lists(
    st.tuples(
        st.sampled_from(KINDS), st.integers(0, 2), st.integers(0, 70), st.sampled_from([0.0, 0.1, 1.0, 20.0, 45.0])
    ),
    max_size=80,
)


@settings(max_examples=300, deadline=None)
@given(ACTS)
def test_the_sum_over_gateways_stays_within_the_limit(acts):
    world = World()
    for kind, number, amount, passed in acts:
        world.clock.now += passed
        world.act(kind, number, amount)
        assert world.used() <= LIMIT


def test_a_gateway_gets_what_others_do_not_use():
    world = World()
    first, second = world.gateways[0], world.gateways[1]
    for gateway, amount in ((first, 80), (second, 20)):
        gateway.meter.reserve([(ONE,)], amount, world.clock.now)
        world.trade(gateway)
        got = gateway.meter.reserve([(ONE,)], amount, world.clock.now)
        assert isinstance(got, Reservation)
        gateway.open.append(Answer(got, amount))
    second.open.pop().reservation.settle(20, world.clock.now)
    first.open.pop().reservation.settle(0, world.clock.now)
    second.meter.reserve([(ONE,)], 80, world.clock.now)
    world.trade(first)
    world.trade(second)
    assert isinstance(second.meter.reserve([(ONE,)], 80, world.clock.now), Reservation)


def test_a_gateway_that_hears_nothing_spends_what_it_has_and_not_longer_than_its_lease():
    world = World()
    alone = world.gateways[0]
    alone.meter.reserve([(ONE,)], 60, world.clock.now)
    world.trade(alone)
    alone.leases.down = True
    assert isinstance(alone.meter.reserve([(ONE,)], 50, world.clock.now), Reservation)
    assert not isinstance(alone.meter.reserve([(ONE,)], 20, world.clock.now), Reservation)
    world.clock.now += LEASE_S
    assert not isinstance(alone.meter.reserve([(ONE,)], 5, world.clock.now), Reservation)


def test_a_budget_that_forgot_is_told_again():
    world = World()
    one, other = world.gateways[0], world.gateways[1]
    one.meter.reserve([(ONE,)], 70, world.clock.now)
    world.trade(one)
    got = one.meter.reserve([(ONE,)], 70, world.clock.now)
    got.settle(70, world.clock.now)
    world.trade(one)
    world.common.budgets.clear()
    world.trade(one)
    other.meter.reserve([(ONE,)], 40, world.clock.now)
    world.trade(other)
    assert not isinstance(other.meter.reserve([(ONE,)], 40, world.clock.now), Reservation)
    world.clock.now += WINDOW_S + SLOT_S
    world.trade(one)
    other.meter.reserve([(ONE,)], 40, world.clock.now)
    world.trade(other)
    assert isinstance(other.meter.reserve([(ONE,)], 40, world.clock.now), Reservation)


def test_idle_limits_are_forgotten_on_both_sides():
    world = World(1)
    alone = world.gateways[0]
    alone.meter.reserve([(ONE,)], 10, world.clock.now)
    world.trade(alone)
    got = alone.meter.reserve([(ONE,)], 10, world.clock.now)
    got.settle(10, world.clock.now)
    for _ in range(10):
        world.clock.now += 10
        world.trade(alone)
    alone.meter.forget(world.clock.now)
    assert len(alone.meter) == 0
    assert not alone.leasing._windows
    assert not world.common.budgets["e:endpoint:tokens:"].held


# ---- with the gateway's waiting, in virtual time


class Shared:
    """Two gateways on one clock, trading as their loops would."""

    def __init__(self, *limits):
        self.clock = FakeClock()
        self.common = FakeBudgets(self.clock)
        self.route = EndpointRoute("e", "talk", "boss", Task.CHAT, (), (), limits=limits)
        self.leases, self.limits, self.leasings = [], [], []
        for name in ("one", "two"):
            leases = FakeLeases(self.common, name)
            leasing = Leasing(leases, self.clock, LEASE_S)
            self.leases.append(leases)
            self.leasings.append(leasing)
            self.limits.append(Limits(self.clock, Terms(), leasing))
            self.limits[-1].publish(self.route)

    async def pass_time(self, seconds):
        for _ in range(round(seconds * 10)):
            for leasing in self.leasings:
                await leasing.step()
            await self.clock.advance(0.1)

    def enter(self, number, most=20):
        asked = Asked(False, "", 10, True, most)
        return asyncio.ensure_future(self.limits[number].enter(self.route, ANN, asked, Size(10, most)))


async def test_requests_wait_for_the_first_lease_and_then_do_not():
    shared = Shared(RateLimit(tokens=10_000))
    first = shared.enter(0)
    await shared.clock.settle()
    assert not first.done()
    await shared.pass_time(0.1)
    assert first.done()
    for _ in range(10):
        shared.limits[0].leave(first.result(), Usage(10, 20), sent=True, whole=True)
        first = shared.enter(0)
        await shared.pass_time(0.1)
        assert first.done()


@pytest.mark.parametrize(
    "limits",
    [
        (RateLimit(calls=100, tokens=10_000),),
        (RateLimit(tokens=10_000), RateLimit(LimitKey.USER, calls=10, tokens=1000)),
        (RateLimit(calls=100), RateLimit(LimitKey.USER, "ann", tokens=1000)),
    ],
)
async def test_all_that_a_request_comes_under_is_leased_together(limits):
    shared = Shared(*limits)
    for _ in range(3):
        entering = [shared.enter(0) for _ in range(3)]
        await shared.pass_time(0.5)
        assert all(one.done() for one in entering)
        for one in entering:
            shared.limits[0].leave(one.result(), Usage(10, 20), sent=True, whole=True)
        await shared.pass_time(5)


@pytest.mark.parametrize("used", [True, False])
async def test_a_limit_of_which_nothing_was_known_any_more_is_leased_again(used):
    shared = Shared(RateLimit(tokens=10_000))
    first = shared.enter(0)
    await shared.pass_time(0.2)
    shared.limits[0].leave(first.result(), Usage(10, 20), sent=used, whole=True)
    await shared.pass_time(62)
    assert not shared.leasings[0]._windows
    again = shared.enter(0)
    await shared.pass_time(0.2)
    assert again.done()
    shared.limits[0].leave(again.result(), Usage(10, 20), sent=True, whole=True)


async def test_together_they_let_through_no_more_than_the_limit_and_no_less():
    shared = Shared(RateLimit(calls=10))
    waiting = [shared.enter(number % 2) for number in range(30)]
    await shared.pass_time(3)
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert sum(not isinstance(one, Exception) for one in results) == 10
    refused = [one for one in results if isinstance(one, LimitExceeded)]
    assert len(refused) == 20
    assert all(one.retry_after_s >= 1 for one in refused)


async def test_without_the_common_budget_nothing_is_let_through_beyond_the_lease():
    shared = Shared(RateLimit(calls=10))
    for leases in shared.leases:
        leases.down = True
    waiting = [shared.enter(number % 2) for number in range(4)]
    await shared.pass_time(3)
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(one, LimitExceeded) for one in results)


def test_units_are_apart():
    world = World(1)
    leasing = world.gateways[0].leasing
    assert leasing.window("e", ONE, Unit.CALLS, 1) is not leasing.window("e", ONE, Unit.TOKENS, 1)


async def test_what_is_left_is_told_in_common():
    shared = Shared(RateLimit(calls=10))
    entered = shared.enter(0)
    await shared.clock.settle()
    await shared.pass_time(0.1)
    shared.limits[0].leave(entered.result(), Usage(10, 20), sent=True, whole=True)
    for _ in range(2):
        await shared.pass_time(0.1)
        told = dict(shared.limits[0].headers("e", ANN))
        assert told[b"x-ratelimit-remaining-requests"] == b"9"
