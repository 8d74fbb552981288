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


async def test_who_has_no_time_for_the_start_is_told_how_long_it_takes_and_finds_it_started(world):
    world.table.publish(endpoint(to_zero=True, startup_s=8.3))
    hasty = await world.ask(patience_s=5)
    await hasty.task
    assert isinstance(hasty.client.error, Temporary)
    assert hasty.client.error.retry_after_s == 9
    assert "ready in about 8.3 s, but this request may take 5.0 s more" in hasty.client.error.message
    assert world.demand.asked == [("e1", "guide-1")], "it is being started all the same"
    assert world.record(hasty).outcome is RequestOutcome.REJECTED
    await world.clock.advance(4)
    later = await world.ask(patience_s=5)
    assert not later.task.done(), "4.3 s are left"
    again = await world.ask(patience_s=3)
    await again.task
    assert again.client.error.retry_after_s == 5
    world.table.publish(endpoint(replica(1), to_zero=True, startup_s=8.3))
    await world.settle()
    assert await finish(world, later) is RequestOutcome.COMPLETED
    world.table.publish(endpoint(to_zero=True, startup_s=8.3))
    anew = await world.ask(patience_s=8)
    await anew.task
    assert anew.client.error.retry_after_s == 9


async def test_a_start_that_outlasts_the_servers_own_limit_is_refused_too(world):
    world.table.publish(endpoint(to_zero=True, startup_s=700))
    request = await world.ask()
    await request.task
    assert (request.client.error.retry_after_s, world.record(request).status) == (700, 503)


async def test_a_start_that_takes_longer_than_said_ends_with_the_callers_patience(world):
    world.table.publish(endpoint(to_zero=True, startup_s=3))
    request = await world.ask(patience_s=10)
    await world.clock.advance(9)
    assert not request.task.done()
    await world.clock.advance(1)
    await request.task
    assert isinstance(request.client.error, Temporary)


async def test_where_there_is_no_room_nobody_waits(world):
    world.table.publish(endpoint(to_zero=True, startup_s=3.2))
    first = await world.ask()
    assert not first.task.done()
    world.table.publish(endpoint(to_zero=True, startup_s=3.2, stuck="no device has room"))
    await first.task
    second = await world.ask()
    await second.task
    for request in (first, second):
        assert isinstance(request.client.error, Temporary)
        assert request.client.error.retry_after_s == 30
        assert request.client.error.message == (
            "Endpoint 'guide' is scaled to zero, and no replica can be started now: no device has room. Once there is "
            "room, that takes about 3.2 s."
        )
    assert world.demand.asked[-1] == ("e1", "guide-1"), "it is started when there is room"
    world.table.publish(endpoint(to_zero=True, startup_s=3.2))
    third = await world.ask()
    assert not third.task.done()
    third.interrupt.cut(Cut.GONE)
    await third.task
