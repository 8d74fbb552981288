"""What a request carries on of its trace, what is recorded of it, and our own time with it."""

import pytest
from world import DONE, STRANGER, World, endpoint, event, replica

from penstock.domain.errors import ProviderFailed
from penstock.domain.external_forms import ProviderKind
from penstock.domain.external_model import ExternalEntity, ExternalModel
from penstock.domain.model import Task
from penstock.domain.routing import EndpointRoute, EntityRoute
from penstock.domain.trace_context import TraceContext
from penstock.domain.trace_sampler import Sampler, SamplerKind
from penstock.domain.traffic import Route
from penstock.gateway.observer import Observer
from penstock.gateway.overhead import Overhead
from penstock.gateway.recording import MOST_KEPT
from penstock.gateway.trace import Tracing
from penstock.testing.acl import OPEN
from penstock.testing.provider import FakeProviderAnswer
from penstock.testing.telemetry import Counted, FakeTelemetry

ANSWER = b'{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7}}'
CALLERS = TraceContext("a" * 32, "b" * 16, 1, "x=y")


@pytest.fixture
def telemetry():
    return FakeTelemetry()


@pytest.fixture
def traced(telemetry):
    return World(observer=Observer(telemetry, Tracing(Counted())))


async def answered(world, **how):
    request = await world.ask(**how)
    answer = world.begin(request)
    answer.feed(ANSWER)
    answer.finish()
    await request.task
    return request


async def test_a_callers_context_goes_to_the_engine_as_it_came(world):
    world.table.publish(endpoint(replica(1)))
    await answered(world, trace=CALLERS)
    await answered(world)
    assert world.engines.traces == [CALLERS, None]


async def test_a_recorded_request_has_spans_below_the_callers(traced, telemetry):
    traced.table.publish(endpoint(replica(1)))
    request = await traced.ask(trace=CALLERS)
    await traced.clock.advance(2)
    answer = traced.begin(request)
    answer.feed(ANSWER)
    answer.finish()
    await request.task
    (ended,) = telemetry.requests
    assert ended.record == traced.record(request)
    assert (ended.provider, ended.model) == ("penstock", "guide")
    assert ended.traced.parent == CALLERS
    own = ended.traced.context
    assert (own.trace_id, own.state, own.sampled) == (CALLERS.trace_id, "x=y", True)
    (leg,) = ended.traced.legs
    assert traced.engines.traces == [leg.context]
    assert len({CALLERS.span_id, own.span_id, leg.context.span_id}) == 3
    assert (leg.entity, leg.began_s, leg.ended_s, leg.error) == ("guide-1", 0, 2, "")
    assert ended.traced.said is None


async def test_a_request_without_a_caller_begins_a_trace(traced, telemetry):
    traced.table.publish(endpoint(replica(1)))
    request = await answered(traced)
    (ended,) = telemetry.requests
    assert ended.traced.parent is None
    assert ended.traced.context.parent == f"00-{1:032x}-{2:016x}-03"
    record = traced.record(request)
    assert (record.client_request_id, record.trace_id) == ("mine-q1", f"{1:032x}")


async def test_the_ledger_knows_the_trace_of_every_request_that_has_one(traced, world):
    for one, trace in ((traced, None), (world, CALLERS), (world, None)):
        one.table.publish(endpoint(replica(1)))
        await answered(one, trace=trace)
    refused = await world.ask(caller=STRANGER, trace=CALLERS)
    await refused.task
    assert [one.trace_id for one in traced.journal.records] == [f"{1:032x}"]
    assert [one.trace_id for one in world.journal.records] == ["a" * 32, "", "a" * 32]
    assert world.record(refused).status == 403


async def test_what_is_admitted_already_has_its_trace(world):
    world.table.publish(endpoint(replica(1)))
    await answered(world, trace=CALLERS)
    assert [record.trace_id for record in world.journal.began] == ["a" * 32]


async def test_what_is_not_sampled_is_carried_on_and_not_recorded(telemetry):
    world = World(observer=Observer(telemetry, Tracing(Counted(), Sampler(SamplerKind.ALWAYS_OFF))))
    world.table.publish(endpoint(replica(1)))
    await answered(world, trace=CALLERS)
    (ended,) = telemetry.requests
    assert ended.traced is None, "but it counts"
    (carried,) = world.engines.traces
    assert (carried.trace_id, carried.sampled, carried.state) == (CALLERS.trace_id, False, "x=y")


async def test_each_replica_that_is_tried_has_a_span(traced, telemetry):
    traced.table.publish(endpoint(replica(1), replica(2)))
    traced.engines.dead.add("unix:/r1")
    request = await answered(traced)
    assert request.client.status_code == 200
    (ended,) = telemetry.requests
    assert [leg.error for leg in ended.traced.legs] == ["engine_failed", ""]
    assert traced.engines.traces == [leg.context for leg in ended.traced.legs]


def abroad(*names):
    def entity(name):
        model = ExternalModel(f"m-{name}", ProviderKind.ANTHROPIC, Task.CHAT, {}, {})
        return EntityRoute(name, (), scales_to_zero=False, external=ExternalEntity(name, model, "ann"))

    routes = (Route(names[0], 100),)
    return EndpointRoute("e1", "guide", "boss", Task.CHAT, routes, tuple(map(entity, names)), fallback=True, acl=OPEN)


async def test_each_provider_that_is_tried_has_a_span_of_its_own(traced, telemetry):
    traced.table.publish(abroad("a", "b", "c"))
    traced.provider.will("m-a", ProviderFailed("It is away."))
    traced.provider.will("m-b", FakeProviderAnswer(503, b"{}"))
    traced.provider.will("m-c", FakeProviderAnswer(200, ANSWER))
    request = await traced.ask(trace=CALLERS)
    await request.task
    (ended,) = telemetry.requests
    assert (ended.provider, ended.model) == ("anthropic", "m-c")
    assert [(leg.model, leg.error) for leg in ended.traced.legs] == [
        ("m-a", "provider_failed"),
        ("m-b", "503"),
        ("m-c", ""),
    ]
    assert [call.trace for call in traced.provider.calls] == [leg.context for leg in ended.traced.legs]


async def test_the_last_error_is_the_last_tries(traced, telemetry):
    traced.table.publish(abroad("a"))
    traced.provider.will("m-a", FakeProviderAnswer(401, b"{}"))
    await (await traced.ask()).task
    (ended,) = telemetry.requests
    assert [leg.error for leg in ended.traced.legs] == ["401"]


async def test_texts_are_kept_where_settings_ask_and_not_without_end(telemetry):
    world = World(observer=Observer(telemetry, Tracing(Counted(), keeps_text=True)))
    world.table.publish(endpoint(replica(1)))
    await answered(world, body=b'{"messages":[]}')
    request = await world.ask(streaming=True)
    answer = world.begin(request, events=True)
    answer.feed(event(1), b"data: " + b"x" * MOST_KEPT + b"\n\n", event(2), DONE)
    answer.finish()
    await request.task
    await answered(world, body=b"x" * (MOST_KEPT + 1))
    first, second, third = telemetry.requests
    assert first.traced.said == (b'{"messages":[]}', ANSWER)
    assert len(second.traced.said[1]) == MOST_KEPT
    assert third.traced.said == (b"", ANSWER)
    assert request.client.body.endswith(DONE), "the client gets everything"


async def test_sums_are_kept_of_endpoints_that_are_there(world):
    world.table.publish(endpoint(replica(1)))
    await answered(world)
    request = await world.ask(name="nobody")
    await request.task
    ((entity, sums),) = world.observer.sums.told()["e1"].items()
    assert (entity, sums.ended, sums.input_tokens) == ("guide-1", {("completed", 200): 1}, 5)
    assert world.observer.sums.unknown == 1
    world.table.withdraw("e1")
    assert world.observer.sums.told() == {}


def test_our_own_time_is_all_but_that_of_others():
    now = [10.0]
    own = Overhead(lambda: now[0])
    for ours, others in ((0.001, 5.0), (0.002, 7.0)):
        now[0] += ours
        with own:
            now[0] += others
    assert own.told_ms < 0
    assert own.tell() == pytest.approx(3.0)
    now[0] += 1
    assert own.tell() == pytest.approx(3.0), "what comes after the head is not counted"


async def test_waiting_for_turns_replicas_and_engines_is_not_ours(world):
    own = Overhead(world.clock.monotonic)
    world.table.publish(endpoint(to_zero=True))
    request = await world.ask(own=own)
    await world.clock.advance(3)
    world.table.publish(endpoint(replica(1), to_zero=True))
    await world.settle()
    await world.clock.advance(4)
    answer = world.begin(request)
    answer.feed(ANSWER)
    answer.finish()
    await request.task
    assert world.record(request).duration_ms == 7000
    assert own.tell() == 0
