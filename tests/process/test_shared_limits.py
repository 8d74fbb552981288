"""Servers with one Redis and one limit: their sum, whoever is killed and whoever is away.

FAULT_S sets for how long Redis does not answer, 3 seconds if nothing is said.
"""

import asyncio
import contextlib
import os

import pytest
from fault_calls import ask, hold, rows
from played_provider import endpoint, keep_key
from redis.asyncio import Redis
from stand import Stand
from test_kill import check_minutes

from penstock.testing.redis import RedisServer

FAULT_S = float(os.environ.get("FAULT_S", "3"))
LIMIT, LARGE = 1500, 3000
LEASE_S, REQUEST_S = 5, 60
LIFE_S = LEASE_S + REQUEST_S + 60 + 1
KEY = "penstock:limits:{limits}:"
ANSWER = 20


@pytest.fixture
async def redis():
    server = RedisServer()
    await asyncio.to_thread(server.start)
    await trusted(server)
    yield server
    server.thaw()
    server.stop()


@contextlib.asynccontextmanager
async def connected(server):
    client = Redis.from_url(server.url, decode_responses=True)
    try:
        yield client
    finally:
        await client.aclose()


async def trusted(server):
    """As if it had remembered everything for long: the minute in which it grants nothing is over."""
    async with connected(server) as client:
        await client.set(KEY + "born", "0")


async def passed(server, seconds):
    """As if so much time had passed for it."""
    async with connected(server) as client:
        await client.hincrbyfloat(KEY + "clock", "now", seconds)


@pytest.fixture
async def servers(tmp_path, redis, provider):
    """Two, with an endpoint of one name each."""
    made = [
        Stand(
            tmp_path / name,
            PENSTOCK_EXTERNAL_ALLOW_PRIVATE_ADDRESSES="true",
            PENSTOCK_LIMITS_REDIS_URL=redis.url,
            PENSTOCK_LIMITS_LEASE_S=str(LEASE_S),
            PENSTOCK_GATEWAY_REQUEST_TIMEOUT_S=str(REQUEST_S),
        )
        for name in ("one", "two")
    ]
    await asyncio.gather(*(stand.start() for stand in made))
    for stand in made:
        await keep_key(stand)
        await endpoint(stand, provider, "talk", "slow-1", limits=[{"tokens": LIMIT, "calls": 10_000}])
    yield made
    for stand in made:
        await stand.close()


class Crowd:
    """Clients of a server that ask until they are told to stop, whether it answers or not."""

    def __init__(self, stand, count):
        self.came = []
        self.stopping = asyncio.Event()
        self.clients = [asyncio.create_task(self._ask(stand, number % 2 == 0)) for number in range(count)]

    async def _ask(self, stand, stream):
        while not self.stopping.is_set():
            self.came.append(await ask(stand, "talk", stream=stream, max_tokens=ANSWER))
            await asyncio.sleep(0.05)

    def served(self):
        return sum(one.status == 200 for one in self.came)

    def full(self):
        """Whether the newest answers were refusals."""
        return len(self.came) >= 8 and {one.status for one in self.came[-8:]} == {429}

    async def stop(self):
        self.stopping.set()
        await asyncio.gather(*self.clients)


async def told(redis):
    """How many gateways have told Redis what they use."""
    async with connected(redis) as client:
        return sum(field.startswith("t:") for field in await client.hkeys(KEY + "talk:endpoint:tokens:"))


@pytest.mark.timeout(300 + 2 * FAULT_S)
async def test_together_they_admit_no_more_than_the_limit_whatever_dies(servers, redis, provider):
    one, two = servers
    crowds = [Crowd(stand, 6) for stand in servers]

    async def both_serve():
        return all(crowd.served() >= 4 for crowd in crowds)

    await one.until(both_serve, 60, "both to serve")
    two.process.kill()
    two.process.wait()
    redis.freeze()
    await asyncio.sleep(FAULT_S)
    redis.thaw()
    await two.start()

    async def exhausted():
        return all(crowd.full() for crowd in crowds)

    await one.until(exhausted, 60, "the limit to be reached")
    assert provider.tokens > LIMIT / 3
    assert provider.most_in(60) <= LIMIT
    await asyncio.to_thread(redis.stop)
    await asyncio.to_thread(redis.start)

    async def both_told():
        return await told(redis) >= 2

    await one.until(both_told, 60, "a Redis without memory to be told")
    await asyncio.sleep(FAULT_S)
    for crowd in crowds:
        await crowd.stop()
    assert provider.most_in(60) <= LIMIT
    assert {one.status for crowd in crowds for one in crowd.came} <= {200, 429, 0}
    assert [await stand.stop() for stand in servers] == [0, 0]


async def test_what_was_reserved_when_a_server_was_killed_stays_taken_and_is_given_back_once(servers, redis, provider):
    stand, other = servers
    for one in servers:
        await endpoint(one, provider, "long", "hang-1", "steady-1", limits=[{"tokens": LARGE}])
    begun = await hold(stand, "long", 4, max_tokens=600)
    await stand.kill()
    cut = await asyncio.gather(*begun)
    assert [(one.status, one.ended) for one in cut] == [(200, "cut")] * 4
    await stand.start()

    async def ends(server, most):
        return (await ask(server, "long/served-models/steady-1", max_tokens=most)).status

    assert [await ends(one, 1000) for one in servers] == [429, 429], "the dead server's 4 times 600 are taken"
    assert await ends(stand, 300) == 200, "and no more than that"
    await passed(redis, LIFE_S)

    async def free():
        return await ends(other, 2500) == 200

    await stand.until(free, 60, "what the dead server held to be free")
    assert [await one.stop() for one in servers] == [0, 0]
    found = rows(stand, "outcome", "completion_tokens")
    assert [found[one.request_id] for one in cut] == [("failed", 0)] * 4
    assert sorted(row[0] for row in found.values()) == ["completed"] + ["failed"] * 4 + ["rejected"]
    await check_minutes(stand)
