"""A wall clock that is set while requests run: limits, durations and time limits go by another."""

import pytest
from world import LIMIT_S, World, endpoint, replica

from penstock.domain.errors import LimitExceeded
from penstock.domain.rate_limit import RateLimit
from penstock.domain.rate_window import SLOT_S, WINDOW_S
from penstock.domain.usage import RequestOutcome

ANSWER = b'{"choices":[],"usage":{"prompt_tokens":100,"completion_tokens":20}}'
HOUR_S = 3600


async def answer(world, request):
    begun = world.begin(request)
    begun.feed(ANSWER)
    begun.finish()
    await request.task


@pytest.mark.parametrize("seconds", [HOUR_S, -HOUR_S])
async def test_limits_neither_open_nor_lock(seconds):
    world = World()
    world.table.publish(endpoint(replica(1, running=9), limits=(RateLimit(calls=2, tokens=1000),)))
    for _ in range(2):
        await answer(world, await world.ask(size=100, counted=True, most_out=50))
    for jump in (seconds, -seconds, 0):
        refused = await world.ask(size=100, counted=True, most_out=50)
        assert isinstance(refused.client.error, LimitExceeded)
        assert refused.client.error.retry_after_s <= WINDOW_S + 1
        world.clock.jump(jump)
    await world.clock.advance(WINDOW_S + SLOT_S)
    world.clock.jump(seconds)
    await answer(world, await world.ask(size=100, counted=True, most_out=50))


@pytest.mark.parametrize("seconds", [HOUR_S, -HOUR_S])
async def test_a_request_lasts_as_long_as_it_lasts(seconds):
    world = World()
    world.table.publish(endpoint(replica(1)))
    request = await world.ask()
    before = world.clock.now_ms()
    await world.clock.advance(3)
    world.clock.jump(seconds)
    assert await world.running.step() == ""
    await world.clock.advance(2)
    await answer(world, request)
    record = world.record(request)
    assert (record.received_at, record.duration_ms) == (before, 5000)
    assert record.outcome is RequestOutcome.COMPLETED
    late = await world.ask()
    world.clock.jump(seconds)
    await world.clock.advance(LIMIT_S)
    await world.running.step()
    await late.task
    assert world.record(late).status == 504
