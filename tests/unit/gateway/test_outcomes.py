"""One request through the gateway: its answer, and its one record."""

import asyncio
from dataclasses import replace

import pytest
from world import DONE, DRAIN_S, LIMIT_S, STRANGER, USER, endpoint, event, replica

from penstock.domain.errors import (
    DeadlineExceeded,
    EndpointNotFound,
    EngineFailed,
    InvalidParameter,
    InvalidRequest,
    Overloaded,
    PermissionDenied,
    Temporary,
)
from penstock.domain.model import Task
from penstock.domain.rate_limit import RateLimit
from penstock.domain.routing import EndpointRoute, EntityRoute
from penstock.domain.traffic import Route
from penstock.domain.usage import RequestOutcome, Usage
from penstock.gateway.interrupt import Cut
from penstock.testing.acl import OPEN

ANSWER = b'{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":3}}}'


async def test_an_answer_is_passed_on_as_it_is_and_accounted(world):
    world.table.publish(endpoint(replica(1)))
    request = await world.ask()
    await world.clock.advance(2)
    answer = world.begin(request)
    answer.feed(ANSWER)
    answer.finish()
    await request.task
    assert (request.client.status_code, request.client.body) == (200, ANSWER)
    assert (request.client.entity, request.client.ends) == ("guide-1", 1)
    assert world.engines.sent == [("unix:/r1", "/v1/chat/completions", b"{}", "q1")]
    assert world.engines.namespaces == ["e1"], "the endpoint's: nobody learns from the cache what others ask"
    record = world.record(request)
    assert record.outcome is RequestOutcome.COMPLETED
    assert record.usage == Usage(5, 7, 3)
    assert (record.status, record.principal, record.replica_id) == (200, USER.principal.name, "r1")
    assert (record.queue_ms, record.ttft_ms, record.duration_ms) == (0, 2000, 2000)
    assert (record.task, record.client_request_id, record.streaming) == ("llm/v1/chat", "mine-q1", False)
    assert answer.closed
    assert world.rooms.in_flight("r1") == 0


async def test_a_request_that_was_admitted_would_be_recovered_as_failed(world):
    world.table.publish(endpoint(replica(1)))
    await world.ask()
    (began,) = world.journal.began
    assert (began.request_id, began.outcome, began.reason) == ("q1", RequestOutcome.FAILED, Cut.STOPPED)
    assert not world.journal.records


async def test_a_stream_passes_whole_events_and_its_last_usage_counts(world):
    world.table.publish(endpoint(replica(1)))
    request = await world.ask(streaming=True)
    answer = world.begin(request, events=True)
    await world.settle()
    assert request.client.status_code == 0, "the head waits for the first event"
    answer.feed(event(1) + event(2)[:10])
    await world.settle()
    assert request.client.body == event(1)
    answer.feed(event(2)[10:], DONE)
    await world.settle()
    assert world.record(request).outcome is RequestOutcome.COMPLETED, "settled when the end is sent"
    answer.finish()
    await request.task
    assert request.client.body == event(1) + event(2) + DONE
    record = world.record(request)
    assert (record.usage, record.streaming) == (Usage(5, 2, 0), True)


async def test_refusals_have_no_engine_and_one_record(world):
    def wrong(_task, _body):
        raise InvalidParameter("max_tokens must be positive.")

    world.table.publish(endpoint(replica(1)))
    cases = [
        ({"read": wrong}, InvalidParameter, 400),
        ({"caller": STRANGER}, PermissionDenied, 403),
        ({"task": Task.EMBEDDINGS}, InvalidRequest, 400),
        ({"entity": "other"}, InvalidRequest, 400),
    ]
    for how, kind, status in cases:
        request = await world.ask(**how)
        await request.task
        assert type(request.client.error) is kind
        record = world.record(request)
        assert (record.outcome, record.status) == (RequestOutcome.REJECTED, status)
        assert record.reason == request.client.error.message
    assert not world.engines.sent
    assert not world.journal.began


async def test_an_unknown_endpoint_is_in_nobodys_account(world):
    request = await world.ask(name="other")
    await request.task
    assert isinstance(request.client.error, EndpointNotFound)
    assert not world.journal.records


async def test_an_endpoint_that_was_never_ready_says_why(world):
    world.table.publish(EndpointRoute("e1", "guide", "boss", Task.CHAT, (), (), "its model is being built", acl=OPEN))
    request = await world.ask()
    await request.task
    assert "its model is being built" in request.client.error.message
    assert world.record(request).status == 400


async def test_the_split_and_the_address_choose_the_entity(world):
    entities = (EntityRoute("a", (replica(1),), False), EntityRoute("b", (replica(2),), False))
    routes = (Route("a", 30), Route("b", 70))
    world.table.publish(EndpointRoute("e1", "guide", "boss", Task.CHAT, routes, entities, acl=OPEN))
    for point, entity, address in ((0.29, None, "r1"), (0.31, None, "r2"), (0.31, "a", "r1")):
        world.point = point
        request = await world.ask(entity=entity)
        assert world.engines.sent[-1][0] == f"unix:/{address}"
        request.interrupt.cut(Cut.GONE)
        await request.task


async def test_a_full_replica_refuses_and_says_when_to_come_back(world):
    world.table.publish(endpoint(replica(1)))
    first = [await world.ask() for _ in range(3)]
    late = await world.ask()
    await late.task
    assert isinstance(late.client.error, Overloaded)
    assert late.client.error.retry_after_s >= 1
    assert "3 are in flight and the limit is 3" in late.client.error.message
    assert world.record(late).outcome is RequestOutcome.REJECTED
    for request in first:
        request.interrupt.cut(Cut.GONE)
    await world.settle()
    assert world.rooms.in_flight("r1") == 0


async def test_the_emptier_replica_is_taken(world):
    world.table.publish(endpoint(replica(1), replica(2)))
    for _ in range(4):
        await world.ask()
    assert [sent[0][-2:] for sent in world.engines.sent] == ["r1", "r2", "r1", "r2"]


async def test_the_engines_own_refusals_are_passed_on(world):
    world.table.publish(endpoint(replica(1)))
    for status, outcome in (
        (400, RequestOutcome.REJECTED),
        (429, RequestOutcome.REJECTED),
        (500, RequestOutcome.FAILED),
    ):
        request = await world.ask(streaming=True)
        answer = world.begin(request)
        answer.status, answer.retry_after = status, b"3"
        answer.feed(b'{"error_code":"X","message":"no"}')
        answer.finish()
        await request.task
        assert (request.client.status_code, request.client.retry_after) == (status, b"3")
        record = world.record(request)
        assert (record.outcome, record.status) == (outcome, status)


async def test_an_error_that_is_not_ours_is_not_shown(world):
    world.table.publish(endpoint(replica(1)))
    request = await world.ask()
    answer = world.begin(request)
    answer.status, answer.content_type = 500, b"text/plain"
    answer.feed(b"Traceback ...")
    answer.finish()
    await request.task
    assert isinstance(request.client.error, EngineFailed)
    assert "Traceback" not in request.client.error.message
    assert world.record(request).outcome is RequestOutcome.FAILED


@pytest.mark.parametrize("streaming", [False, True])
async def test_a_hang_up_reaches_the_engine_which_knows_the_usage(world, streaming):
    world.table.publish(endpoint(replica(1)))
    request = await world.ask(streaming=streaming)
    if streaming:
        answer = world.begin(request, events=True)
        answer.feed(event(1))
        await world.settle()
    request.interrupt.cut(Cut.GONE)
    await request.task
    assert world.engines.cancelled == [("unix:/r1", "q1")]
    record = world.record(request)
    assert (record.outcome, record.status, record.usage) == (RequestOutcome.CANCELLED, 499, Usage(5, 2, 1))
    assert world.rooms.in_flight("r1") == 0


async def test_usage_so_far_counts_when_the_engine_cannot_tell(world):
    world.engines.used = None
    world.table.publish(endpoint(replica(1)))
    request = await world.ask(streaming=True)
    world.begin(request, events=True).feed(event(9))
    await world.settle()
    request.interrupt.cut(Cut.GONE)
    await request.task
    assert world.record(request).usage == Usage(5, 9, 0)


async def test_a_stream_that_breaks_ends_with_an_error_and_the_usage_so_far(world):
    world.table.publish(endpoint(replica(1), replica(2)))
    request = await world.ask(streaming=True)
    answer = world.begin(request, events=True)
    answer.feed(event(1), event(2)[:20])
    await world.settle()
    answer.break_off()
    await request.task
    assert request.client.body == event(1), "never half an event"
    assert isinstance(request.client.error, EngineFailed)
    assert request.client.error_usage == Usage(5, 1, 0)
    record = world.record(request)
    assert (record.outcome, record.status, record.usage) == (RequestOutcome.FAILED, 500, Usage(5, 1, 0))
    assert world.demand.gone == ["r1"]
    assert len(world.engines.sent) == 1, "never replaced after the first event"


async def test_a_stream_that_ends_early_is_broken(world):
    world.table.publish(endpoint(replica(1)))
    request = await world.ask(streaming=True)
    answer = world.begin(request, events=True)
    answer.feed(event(1))
    answer.finish()
    await request.task
    assert world.record(request).outcome is RequestOutcome.FAILED


async def test_the_engines_own_error_event_is_the_last(world):
    world.table.publish(endpoint(replica(1)))
    request = await world.ask(streaming=True)
    answer = world.begin(request, events=True)
    failure = b'data: {"error":{"message":"no"},"usage":{"prompt_tokens":5,"completion_tokens":1}}\n\n'
    answer.feed(event(1), failure)
    answer.finish()
    await request.task
    assert (request.client.body, request.client.error) == (event(1) + failure, None)
    record = world.record(request)
    assert (record.outcome, record.usage) == (RequestOutcome.FAILED, Usage(5, 1, 0))


async def test_a_request_that_takes_too_long_is_ended_in_the_engine(world):
    world.table.publish(endpoint(replica(1)))
    request = await world.ask()
    await world.clock.advance(LIMIT_S - 1)
    assert await world.running.step() == ""
    await world.clock.advance(1)
    assert "597" in await world.running.step()
    await request.task
    assert isinstance(request.client.error, DeadlineExceeded)
    record = world.record(request)
    assert (record.outcome, record.status, record.usage) == (RequestOutcome.FAILED, 504, Usage(5, 2, 1))


async def test_a_stop_lets_requests_end_and_cuts_the_rest(world):
    world.table.publish(endpoint(replica(1)))
    fast, slow = await world.ask(), await world.ask(streaming=True)
    world.begin(slow, events=True).feed(event(1))
    stopping = asyncio.ensure_future(world.running.drain(10))
    await world.settle()
    late = await world.ask()
    await late.task
    assert isinstance(late.client.error, Temporary)
    assert world.record(late).outcome is RequestOutcome.REJECTED
    answer = world.begin(fast)
    answer.feed(ANSWER)
    answer.finish()
    await fast.task
    assert world.record(fast).outcome is RequestOutcome.COMPLETED
    await world.clock.advance(9)
    assert not stopping.done()
    await world.clock.advance(1)
    assert await stopping == 1
    assert isinstance(slow.client.error, Temporary)
    record = world.record(slow)
    assert (record.outcome, record.usage, record.reason) == (RequestOutcome.FAILED, Usage(5, 2, 1), Cut.STOPPED)


async def test_a_task_that_is_cancelled_from_elsewhere_is_settled_too(world):
    world.table.publish(endpoint(replica(1)))
    request = await world.ask()
    request.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request.task
    assert world.record(request).reason == Cut.STOPPED
    assert world.rooms.in_flight("r1") == 0
    assert len(world.running) == 0


async def test_a_fault_of_ours_is_settled_and_raised(world):
    def faulty(_task, _body):
        raise ZeroDivisionError

    world.table.publish(endpoint(replica(1)))
    request = await world.ask(read=faulty)
    with pytest.raises(ZeroDivisionError):
        await request.task
    record = world.record(request)
    assert (record.outcome, record.reason) == (RequestOutcome.FAILED, "a fault of the server")


async def test_a_deleted_endpoint_gives_its_requests_the_drain_time_and_others_all_of_theirs(world):
    shared = replica(1, running=8)
    world.table.publish(endpoint(shared))
    world.table.publish(replace(endpoint(shared, name="other"), id="e2"))
    fast, slow, other = await world.ask(), await world.ask(streaming=True), await world.ask(name="other")
    world.begin(slow, events=True).feed(event(1))
    await world.settle()
    world.table.withdraw("e1")
    await world.clock.advance(DRAIN_S - 1)
    answer = world.begin(fast)
    answer.feed(ANSWER)
    answer.finish()
    await fast.task
    assert world.record(fast).outcome is RequestOutcome.COMPLETED
    assert not slow.task.done()
    await world.clock.advance(1)
    await slow.task
    assert isinstance(slow.client.error, EndpointNotFound)
    assert "did not end within 20 seconds" in slow.client.error.message
    assert world.engines.cancelled == [("unix:/r1", slow.id)]
    record = world.record(slow)
    assert (record.outcome, record.status, record.reason) == (RequestOutcome.CANCELLED, 404, Cut.DELETED)
    assert record.usage == Usage(5, 2, 1), "as the engine told when it was cancelled"
    assert not record.breach
    await world.clock.advance(DRAIN_S)
    assert not other.task.done()
    other.interrupt.cut(Cut.GONE)
    await other.task


async def test_a_request_that_the_ledger_cannot_take_is_refused_and_leaves_nothing_behind(world):
    world.table.publish(endpoint(replica(1), limits=(RateLimit(tokens=1000),)))
    world.journal.full = True
    request = await world.ask()
    await request.task
    assert isinstance(request.client.error, Temporary)
    record = world.record(request)
    assert (record.outcome, record.status) == (RequestOutcome.REJECTED, 503)
    assert not world.engines.sent
    assert world.rooms.in_flight("r1") == 0
    assert dict(world.limits.headers("e1", USER.principal))[b"x-ratelimit-remaining-tokens"] == b"1000"
    world.journal.full = False
    request = await world.ask()
    assert world.engines.waits(request.id)
    request.interrupt.cut(Cut.GONE)
    await request.task
