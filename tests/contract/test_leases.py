"""The common budget: one suite on memory and on a real Redis."""

import itertools

import pytest
from redis.asyncio import Redis

from penstock.adapters.limits.redis import RedisLeases
from penstock.domain.errors import PenstockError, Temporary
from penstock.ports.lease import Claim
from penstock.testing.clock import FakeClock
from penstock.testing.lease import FakeBudgets, FakeLeases
from penstock.testing.redis import RedisServer

KEYS = itertools.count()
LIFE_S = 690.0


@pytest.fixture(scope="module")
def redis():
    server = RedisServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["memory", "redis"])
async def gateways(request):
    if request.param == "memory":
        common = FakeBudgets(FakeClock(), LIFE_S)
        yield FakeLeases(common, "one"), FakeLeases(common, "two")
        return
    server = request.getfixturevalue("redis")
    prefix = f"test{next(KEYS)}:"
    both = [RedisLeases(server.url, LIFE_S, prefix=prefix, caution_s=0) for _ in range(2)]
    yield tuple(both)
    for one in both:
        await one.close()


def claim(limit=100, spent=0, recent=None, held=0, want=0, *, last=False, key="k"):
    return Claim(key, limit, spent, spent if recent is None else recent, held, want, last)


async def trade(leases, **given):
    (grant,) = await leases.trade([claim(**given)])
    return grant.granted, grant.left


async def test_gateways_have_different_names(gateways):
    one, two = gateways
    assert one.gateway != two.gateway


async def test_what_is_held_by_one_is_not_granted_to_another(gateways):
    one, two = gateways
    assert await trade(one, want=60) == (60, 40)
    assert await trade(two, want=60) == (40, 0)
    (grant,) = await two.trade([claim(held=40, want=10)])
    assert (grant.granted, grant.left) == (0, 0)
    assert grant.wait_s > 0


async def test_a_claim_replaces_what_was_held(gateways):
    one, two = gateways
    await trade(one, want=80)
    assert await trade(one, held=30) == (0, 70)
    assert await trade(two, want=100) == (70, 0)


async def test_what_was_used_counts_once(gateways):
    one, two = gateways
    await trade(one, want=80)
    for _ in range(3):
        assert await trade(one, spent=50, held=0) == (0, 50)
    assert await trade(one, spent=60, recent=60) == (0, 40)
    assert await trade(two, want=100) == (40, 0)


async def test_more_than_was_held_may_have_been_used_and_keeps_others_out(gateways):
    one, two = gateways
    await trade(one, want=80)
    await trade(one, spent=130)
    (grant,) = await two.trade([claim(want=1)])
    assert grant.granted == 0
    assert 59 < grant.wait_s <= 60.25


async def test_a_budget_that_does_not_know_a_gateway_counts_what_it_used_lately(gateways):
    one, two = gateways
    assert await trade(one, spent=5000, recent=30, held=20, want=10) == (10, 40)
    assert await trade(two, want=100) == (40, 0)


async def test_a_smaller_limit_grants_nothing_until_there_is_room(gateways):
    one, _ = gateways
    await trade(one, want=80)
    assert await trade(one, limit=50, held=80, want=5) == (0, 0)
    assert await trade(one, limit=50, held=40, want=5) == (5, 5)


async def test_a_gateway_that_says_farewell_leaves_what_it_used(gateways):
    one, two = gateways
    await trade(one, want=80)
    await trade(one, spent=80, last=True)
    assert await trade(two, want=100) == (20, 0)


async def test_limits_are_apart_and_large_numbers_exact(gateways):
    one, _ = gateways
    most = 2**53 - 1
    grants = await one.trade([claim(limit=most, want=most, key="a"), claim(limit=7, want=9, key="b")])
    assert [grant.granted for grant in grants] == [most, 7]
    grants = await one.trade([claim(limit=most, spent=most, held=0, want=1, key="a")])
    assert grants[0].granted == 0


async def test_a_redis_that_began_lately_grants_nothing_and_hears_everything(redis):
    first = RedisLeases(redis.url, LIFE_S, prefix="young:", caution_s=61)
    later = RedisLeases(redis.url, LIFE_S, prefix="young:", caution_s=0)
    (grant,) = await first.trade([claim(held=30, want=10)])
    assert grant.granted == 0
    assert 60 < grant.wait_s <= 61
    assert await trade(later, want=100) == (70, 0)
    for one in (first, later):
        await one.close()


async def set_clock(server, prefix, seconds):
    """As if the clock of Redis' machine had been set by so many seconds since the last trade."""
    client = Redis.from_url(server.url)
    await client.hincrbyfloat(f"{prefix}{{limits}}:clock", "wall", -seconds)
    await client.aclose()


@pytest.mark.parametrize("seconds", [3600, -3600, 10 * 86400])
async def test_a_redis_whose_clock_is_set_neither_opens_nor_locks(redis, seconds):
    prefix = f"set{next(KEYS)}:"
    one, two = (RedisLeases(redis.url, LIFE_S, prefix=prefix, caution_s=0) for _ in range(2))
    await trade(one, want=60)
    await trade(one, spent=60)
    assert await trade(two, want=30) == (30, 10)
    await set_clock(redis, prefix, seconds)
    assert await trade(two, held=30, want=40) == (10, 0)
    (grant,) = await one.trade([claim(spent=60, want=10)])
    assert grant.granted == 0
    assert 0 < grant.wait_s <= 60.25
    for leases in (one, two):
        await leases.close()


async def test_a_new_gateway_takes_the_time_in_which_nobody_asked_as_it_was(redis):
    prefix = f"idle{next(KEYS)}:"
    one, two = (RedisLeases(redis.url, LIFE_S, prefix=prefix, caution_s=0) for _ in range(2))
    await trade(one, want=60)
    await trade(one, spent=60)
    await set_clock(redis, prefix, 61)
    assert await trade(two, want=100) == (100, 0)
    for leases in (one, two):
        await leases.close()


async def test_what_a_silent_gateway_held_is_free_after_its_life(redis):
    silent = RedisLeases(redis.url, 0, prefix="silent:", caution_s=0)
    other = RedisLeases(redis.url, LIFE_S, prefix="silent:", caution_s=0)
    await trade(silent, want=80)
    for _ in range(1000):
        granted, _ = await trade(other, want=100)
        if granted == 100:
            break
        assert granted == 20
        await trade(other)
    else:
        raise AssertionError("never free")
    for one in (silent, other):
        await one.close()


async def test_a_redis_that_is_away_is_temporary_and_found_again():
    server = RedisServer()
    server.start()
    leases = RedisLeases(server.url, LIFE_S, caution_s=0)
    assert await trade(leases, want=10) == (10, 90)
    server.stop()
    with pytest.raises(Temporary, match="cannot be reached"):
        await trade(leases, held=10)
    server.start()
    try:
        assert await trade(leases, held=10) == (0, 90)
    finally:
        await leases.close()
        server.stop()


def test_a_wrong_address_and_a_missing_library_are_named(monkeypatch):
    with pytest.raises(PenstockError, match=r"limits\.redis_url is not an address"):
        RedisLeases("nonsense", LIFE_S)
    monkeypatch.setitem(__import__("sys").modules, "redis.asyncio", None)
    with pytest.raises(PenstockError, match=r"pip install 'penstock\[redis\]'"):
        RedisLeases("redis://127.0.0.1:1/0", LIFE_S)
