"""Requests without a replica: they wait for one, or for the replacement of one that was lost."""

from world import World, endpoint, event, replica

from penstock.domain.errors import DeadlineExceeded, EndpointNotFound, EngineFailed, Overloaded, Temporary
from penstock.domain.usage import RequestOutcome
from penstock.gateway.interrupt import Cut


async def finish(world, request):
    answer = world.begin(request)
    answer.feed(b"{}")
    answer.finish()
    await request.task
    return world.record(request).outcome


async def test_a_request_wakes_what_is_scaled_to_zero(world):
    world.table.publish(endpoint(to_zero=True))
    request = await world.ask()
    assert world.demand.asked == [("e1", "guide-1")]
    assert world.table.idle_s("e1", "guide-1") == 0
    await world.clock.advance(20)
    world.table.publish(endpoint(replica(1), to_zero=True))
    await world.settle()
    assert await finish(world, request) is RequestOutcome.COMPLETED
    record = world.record(request)
    assert (record.queue_ms, record.replica_id) == (20_000, "r1")
    await world.clock.advance(7)
    assert world.table.idle_s("e1", "guide-1") == 7


async def test_waiting_is_accepted_and_ends_with_the_time_limit(world):
    world.table.publish(endpoint(to_zero=True))
    request = await world.ask()
    assert len(world.journal.began) == 1
    await world.clock.advance(600)
    await world.running.step()
    await request.task
    assert isinstance(request.client.error, DeadlineExceeded)
    assert not world.engines.cancelled


async def test_a_client_that_stops_waiting_is_cancelled(world):
    world.table.publish(endpoint(to_zero=True))
    request = await world.ask()
    request.interrupt.cut(Cut.GONE)
    await request.task
    assert world.record(request).outcome is RequestOutcome.CANCELLED
    assert world.table.waiting("e1") == 0


async def test_not_more_wait_than_may():
    world = World(most_waiting=2)
    world.table.publish(endpoint(to_zero=True))
    for _ in range(2):
        await world.ask()
    late = await world.ask()
    await late.task
    assert isinstance(late.client.error, Overloaded)
    assert "2 wait and the limit is 2" in late.client.error.message


async def test_an_endpoint_deleted_meanwhile_is_gone(world):
    world.table.publish(endpoint(to_zero=True))
    request = await world.ask()
    world.table.withdraw("e1")
    await request.task
    assert isinstance(request.client.error, EndpointNotFound)
    assert world.table.find("guide") is None


async def test_a_dead_replica_is_passed_over_unnoticed(world):
    world.engines.dead = {"unix:/r1"}
    world.table.publish(endpoint(replica(1), replica(2)))
    request = await world.ask()
    assert world.demand.gone == ["r1"]
    assert world.engines.sent[-1][0] == "unix:/r2"
    assert await finish(world, request) is RequestOutcome.COMPLETED
    assert len(world.journal.began) == 1


async def test_a_replica_that_dies_before_the_first_event_is_replaced(world):
    world.table.publish(endpoint(replica(1)))
    request = await world.ask(streaming=True)
    world.begin(request, events=True).break_off()
    await world.settle()
    assert world.demand.gone == ["r1"]
    assert world.demand.asked == [("e1", "guide-1")]
    world.table.publish(endpoint(replica(1)))
    await world.settle()
    assert len(world.engines.sent) == 1, "the dead one is still listed"
    world.table.publish(endpoint())
    world.table.publish(endpoint(replica(2)))
    await world.settle()
    answer = world.begin(request, events=True)
    answer.feed(event(1), b"data: [DONE]\n\n")
    answer.finish()
    await request.task
    record = world.record(request)
    assert (record.outcome, record.replica_id) == (RequestOutcome.COMPLETED, "r2")


async def test_a_stopping_engine_is_passed_over(world):
    world.table.publish(endpoint(replica(1), replica(2)))
    request = await world.ask()
    answer = world.begin(request)
    answer.status = 503
    await world.settle()
    assert answer.closed
    assert await finish(world, request) is RequestOutcome.COMPLETED


async def test_no_replacement_in_time_is_a_503(world):
    world.table.publish(endpoint())
    request = await world.ask()
    await world.clock.advance(59)
    assert not request.task.done()
    await world.clock.advance(1)
    await request.task
    assert isinstance(request.client.error, Temporary)
    record = world.record(request)
    assert (record.outcome, record.status) == (RequestOutcome.FAILED, 503)


async def test_a_request_that_kills_every_replica_is_given_up(world):
    world.table.publish(endpoint(*(replica(number) for number in range(5))))
    request = await world.ask()
    for _ in range(3):
        world.engines.refuse(request.id)
        await world.settle()
    await request.task
    assert isinstance(request.client.error, EngineFailed)
    assert "3 replicas" in request.client.error.message
    assert world.record(request).outcome is RequestOutcome.FAILED


async def test_an_update_that_replaces_the_entity_takes_waiting_requests_along(world):
    world.table.publish(endpoint(to_zero=True))
    request = await world.ask()
    newer = endpoint(replica(7))
    entity = newer.entities[0]
    renamed = type(entity)("guide-2", entity.replicas, False)
    world.table.publish(type(newer)(newer.id, newer.name, newer.creator, newer.task, (), (renamed,)))
    await world.settle()
    assert await finish(world, request) is RequestOutcome.COMPLETED
    assert world.record(request).served_entity == "guide-2"
