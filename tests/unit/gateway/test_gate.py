"""Requests at the gate: who waits, who is refused, and what the ledger and the control plane are told of it."""

import asyncio
import re
from dataclasses import replace
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st
from world import DONE, World, event, replica

from penstock.domain.errors import EndpointNotFound, Overloaded, Temporary
from penstock.domain.model import Task
from penstock.domain.profile import CostModel
from penstock.domain.routing import EndpointRoute, EntityRoute
from penstock.domain.scaling_room import Part
from penstock.domain.tenancy import Lane, Sale, Terms
from penstock.domain.throughput import SOLD_FRACTION
from penstock.domain.traffic import Route
from penstock.domain.usage import RequestOutcome
from penstock.gateway.call import Asked
from penstock.gateway.gate import Gate
from penstock.gateway.interrupt import Cut
from penstock.testing.acl import OPEN
from penstock.testing.clock import FakeClock

COST = CostModel(c=0.0, a=0.001, e=0.0, b=0.01, d=0.0)
TERMS = Terms(2304 / COST.seconds(2048, 256), 2, COST)
CHUNK = 100.0


def sale(minimum=400.0, maximum=400.0, chunk_share=0.05):
    return Sale("m", TERMS, minimum, maximum, CHUNK, chunk_share)


def endpoint(number, sold, *replicas, to_zero=False):
    entity = EntityRoute("it", replicas, to_zero, sold)
    return EndpointRoute(f"e{number}", f"n{number}", "boss@x.org", Task.CHAT, (Route("it", 100),), (entity,), acl=OPEN)


def asked(size=1000, out=100, *, streaming=False):
    return lambda _task, _body: Asked(streaming, "", size, True, out)


async def finish(world, request, prompt=1000, completion=100):
    answer = world.begin(request)
    answer.feed(b'{"usage":{"prompt_tokens":%d,"completion_tokens":%d}}' % (prompt, completion))
    answer.finish()
    await request.task


def reading(world, number=1):
    (found,) = [one for one in world.gate.readings() if one.endpoint_id == f"e{number}"]
    return found


async def test_more_than_the_device_takes_waits_for_its_turn_and_the_rest_is_refused():
    world = World()
    world.table.publish(endpoint(1, sale(), replica(1, running=32)))
    requests = [await world.ask(name="n1", read=asked()) for _ in range(60)]
    sent = [one for one in requests if world.engines.waits(one.id)]
    refused = [one for one in requests if one.client.error is not None]
    waiting = [one for one in requests if one not in sent and one not in refused]
    assert sent
    assert waiting
    assert all(isinstance(one.client.error, Overloaded) for one in refused)
    assert "allotted throughput of 400 tokens/s" in refused[0].client.error.message
    record = world.record(refused[0])
    assert (record.outcome, record.lane, record.within) == (RequestOutcome.REJECTED, "", False)
    assert record.asked_tokens > 0 == record.reference_tokens
    assert record.decision.startswith("refused, above its rate: the queue is full (")
    now = reading(world)
    assert (now.waiting, now.in_flight) == (len(waiting), len(sent))
    assert len(world.journal.began) == len(sent) + len(waiting)
    await finish(world, sent[0])
    await world.settle()
    assert world.engines.waits(waiting[0].id)
    record = world.record(sent[0])
    assert record.priority == "reserved"
    assert record.lane in {"guaranteed", "lent"}
    assert abs(record.device_s - COST.seconds(1000, 100)) < 1e-9
    assert abs(record.reference_tokens - record.device_s * TERMS.throughput) < 1e-6
    assert abs(reading(world).attained - record.reference_tokens) < 1e-6
    assert record.decision == "within its rate, guaranteed: at once"
    await world.clock.advance(1.5)
    await finish(world, waiting[0])
    found = re.fullmatch(r"above its rate, (lent|guaranteed): (.*)", world.record(waiting[0]).decision)
    assert found, world.record(waiting[0]).decision
    while not world.engines.waits(waiting[1].id):
        await finish(world, next(one for one in sent[1:] if world.engines.waits(one.id)))
        await world.settle()
    await finish(world, waiting[1])
    assert "waited 1.50 s behind 1 for room in the batch" in world.record(waiting[1]).decision


async def test_who_waits_may_leave_and_others_move_up():
    world = World()
    world.table.publish(endpoint(1, sale(), replica(1, running=32)))
    requests = [await world.ask(name="n1", read=asked()) for _ in range(12)]
    waiting = [one for one in requests if not world.engines.waits(one.id) and one.client.error is None]
    assert waiting
    for one in waiting:
        one.interrupt.cut(Cut.GONE)
        await one.task
        record = world.record(one)
        assert (record.outcome, record.reference_tokens) == (RequestOutcome.CANCELLED, 0)
        assert record.decision == f"above its rate, waits behind {waiting.index(one)}"
    assert reading(world).waiting == 0
    assert reading(world).backlog == 0


async def test_what_endpoints_have_in_one_engine_counts_together():
    terms = replace(TERMS, kv_tokens=2000)
    both = [endpoint(number, replace(sale(), terms=terms), replica(1, running=32)) for number in (1, 2)]
    world = World()
    for one in both:
        world.table.publish(one)
    first, other, second = [await world.ask(name=name, read=asked()) for name in ("n1", "n2", "n2")]
    assert [world.engines.waits(one.id) for one in (first, other, second)] == [True, False, False]
    assert world.rooms.in_flight("r1") == 1
    await finish(world, first)
    assert [world.engines.waits(one.id) for one in (other, second)] == [True, False]
    # The engine goes on with what a deleted endpoint has in it, and that still counts.
    third = await world.ask(name="n1", read=asked())
    world.table.withdraw("e2")
    await world.settle()
    assert second.client.error is not None
    assert not world.engines.waits(third.id)
    await finish(world, other)
    assert world.record(other).outcome is RequestOutcome.COMPLETED
    assert world.engines.waits(third.id)
    await finish(world, third)
    assert world.rooms.in_flight("r1") == 0


async def test_a_deleted_endpoint_sends_away_what_waits():
    world = World()
    world.table.publish(endpoint(1, sale(), replica(1, running=32)))
    requests = [await world.ask(name="n1", read=asked()) for _ in range(12)]
    waiting = [one for one in requests if not world.engines.waits(one.id) and one.client.error is None]
    world.table.withdraw("e1")
    await world.settle()
    for one in waiting:
        await one.task
        assert isinstance(one.client.error, EndpointNotFound)
    for one in requests:
        if world.engines.waits(one.id):
            await finish(world, one)
            assert world.record(one).outcome is RequestOutcome.COMPLETED
    assert world.gate.readings() == []


async def test_a_stream_is_charged_ahead_and_settled_with_what_it_used():
    world = World()
    world.table.publish(endpoint(1, sale(), replica(1, running=32)))
    request = await world.ask(name="n1", streaming=True, read=asked(10, 5000, streaming=True))
    answer = world.begin(request, events=True)
    for number in range(1, 601):
        answer.feed(event(number, prompt=10))
    await world.settle()
    answer.feed(DONE)
    answer.finish()
    await request.task
    record = world.record(request)
    assert record.outcome is RequestOutcome.COMPLETED
    assert abs(record.device_s - COST.seconds(10, 600)) < 1e-9


async def test_what_the_engine_measured_is_in_the_ledger_and_in_what_the_endpoint_is_charged():
    world = World()
    world.table.publish(endpoint(1, sale(), replica(1, running=32)))
    tenant = world.gate._devices[""].arbiter.tenants["e1/it"]
    charged = []
    for took in (3.3, 3.3, 6.6):
        request = await world.ask(name="n1", read=asked(1000, 100))
        before = tenant.flows[next(iter(tenant.flows))].start
        answer = world.begin(request)
        answer.measured_s = took
        answer.feed(b'{"usage":{"prompt_tokens":1000,"completion_tokens":100}}')
        answer.finish()
        await request.task
        charged.append(tenant.flows[next(iter(tenant.flows))].start - before)
        assert world.record(request).usage.measured_s == took
        assert abs(world.record(request).device_s - COST.seconds(1000, 100)) < 1e-9
    assert abs(charged[0]) < abs(charged[2])
    stream = await world.ask(name="n1", streaming=True, read=asked(10, 5, streaming=True))
    answer = world.begin(stream, events=True)
    answer.feed(event(5, prompt=10), b": device-seconds 0.125000\n" + DONE)
    answer.finish()
    await stream.task
    assert stream.client.body == event(5, prompt=10) + DONE
    assert world.record(stream).usage.measured_s == 0.125


async def test_a_request_of_many_texts_is_charged_as_many_requests():
    world = World()
    world.table.publish(endpoint(1, sale(), replica(1, running=32)))
    request = await world.ask(name="n1", read=lambda *_: Asked(False, "", 20 * 200, True, 10, 20, 20))
    await finish(world, request, 20 * 200, 20 * 10)
    record = world.record(request)
    assert abs(record.device_s - 20 * COST.seconds(200, 10)) < 1e-9
    assert abs(record.asked_tokens - record.reference_tokens) < 1e-6


async def test_what_requests_are_estimated_with_is_shown_and_forgotten_with_the_endpoint():
    world = World()
    world.table.publish(endpoint(1, sale(), replica(1, running=32)))
    assert (reading(world).characters_per_token, reading(world).prompts, reading(world).answers) == (4.0, 0, 0)
    for _ in range(2):
        request = await world.ask(
            name="n1", read=lambda _task, _body: Asked(streaming=False, client_request_id="", size=3000)
        )
        await finish(world, request, 1000, 50)
    told = reading(world)
    assert (told.characters_per_token, told.prompts, told.mean_out, told.answers) == (3.0, 2, 50.0, 2)
    late = await world.ask(name="n1", read=lambda _task, _body: Asked(streaming=False, client_request_id="", size=3000))
    world.table.withdraw("e1")
    await finish(world, late, 500, 50)
    world.table.publish(endpoint(1, sale(), replica(1, running=32)))
    assert (reading(world).characters_per_token, reading(world).prompts, reading(world).answers) == (4.0, 0, 0)


async def test_the_engine_is_told_whose_prompt_goes_first():
    world = World()
    world.table.publish(endpoint(1, sale(), replica(1, running=32)))
    for _ in range(20):
        await world.ask(name="n1", read=asked(100, 10))
    lanes = {name: world.gate._devices[""].turns[name].grant.lane for name in world.engines.patience}
    assert set(lanes.values()) == set(Lane)
    for name, lane in lanes.items():
        assert (world.engines.patience[name] <= 1.0) is (lane is Lane.GUARANTEED)
        assert world.engines.patience[name] > 0


async def test_that_an_engine_refuses_what_was_bought_is_a_failure_of_ours_and_a_breach():
    world = World()
    world.table.publish(endpoint(1, sale(), replica(1, running=32)))
    requests = [await world.ask(name="n1", read=asked()) for _ in range(12)]
    sent = [one for one in requests if world.engines.waits(one.id)]
    bought, lent = sent[0], sent[-1]
    for one in (bought, lent):
        answer = world.begin(one)
        answer.status, answer.retry_after = 429, b"1"
        answer.feed(b'{"error_code":"REQUEST_LIMIT_EXCEEDED","message":"full"}')
        answer.finish()
        await one.task
    record = world.record(bought)
    assert (record.within, record.outcome, record.status, record.breach) == (True, RequestOutcome.FAILED, 503, True)
    assert isinstance(bought.client.error, Temporary)
    assert "which its endpoint has bought" in bought.client.error.message
    record = world.record(lent)
    assert (record.within, record.outcome, record.status, record.breach) == (False, RequestOutcome.REJECTED, 429, False)


async def test_a_request_that_lost_its_replica_is_not_refused():
    world = World()
    world.engines.dead = {"unix:/r1"}
    world.table.publish(endpoint(1, sale(), replica(1, running=32), replica(2, running=32)))
    requests = [await world.ask(name="n1", read=asked()) for _ in range(4)]
    for one in requests:
        if world.engines.waits(one.id):
            await finish(world, one)
    await world.settle()
    for one in requests:
        if not one.task.done():
            await finish(world, one)
    assert {world.record(one).outcome for one in requests} == {RequestOutcome.COMPLETED}
    assert (reading(world).waiting, reading(world).in_flight) == (0, 0)


async def test_a_minimum_that_comes_displaces_what_was_lent_and_an_allotment_stays_in_its_band():
    gate = Gate(FakeClock())
    gate.publish(endpoint(1, sale(400, 1800)))
    gate.allot("e1", "it", {"": 5000})
    assert gate.readings()[0].allotment == 1800
    gate.publish(endpoint(2, sale(800, 800)))
    first, second = gate.readings()
    assert second.allotment == 800
    assert abs(first.allotment - 1000) < 1e-6
    gate.allot("e1", "it", {"": 1800})
    assert abs(gate.readings()[0].allotment - 1000) < 1e-6
    gate.allot("e1", "it", {"": 0})
    assert gate.readings()[0].allotment == 400
    gate.allot("nobody", "it", {"": 1})


async def test_what_is_placed_on_several_devices_is_sold_as_it_was_placed():
    gate = Gate(FakeClock())
    apart = [replace(replica(n), device=device, share=share) for n, device, share in ((1, "a", 0.1), (2, "b", 0.05))]
    gate.publish(endpoint(1, sale(300, 1800), *apart))
    gate.publish(endpoint(2, sale(1700, 1700), replace(replica(3), device="b", share=0.85)))
    gate.allot("e1", "it", {"a": 1000, "b": 800})
    [first, _] = gate.readings()
    assert first.parts == (Part("a", 200, 1000), Part("b", 100, 100)), "one of its devices is sold out"
    gate.withdraw("e2")
    gate.allot("e1", "it", {"a": 1000, "b": 800})
    assert gate.readings()[0].allotment == 1800
    gate.publish(endpoint(3, sale(1600, 1600), replace(replica(3), device="b", share=0.8)))
    assert gate.readings()[0].parts == (Part("a", 200, 1000), Part("b", 100, 200))
    gate.publish(endpoint(1, sale(300, 1800), apart[0]))
    [lost, _] = gate.readings()
    assert lost.parts == (Part("a", 200, 1000),)
    gate.allot("e1", "it", {})
    assert gate.readings()[0].allotment == 300, "what was promised stays promised"


async def test_who_is_refused_is_told_when_another_replica_is_ready():
    world = World()
    world.table.publish(endpoint(1, sale(400, 1800), replica(1, running=32)))
    excess = []
    world.gate.on_excess(lambda: excess.append(1))
    requests = [await world.ask(name="n1", read=asked()) for _ in range(60)]
    assert excess
    late = [one.client.error for one in requests if one.client.error is not None]
    assert late[-1].retry_after_s > 4
    world.gate.expect("e1", "it", 4.0, 400.0)
    assert reading(world).predicted_wait_s > 4
    before = reading(world).predicted_wait_s
    told = (await world.ask(name="n1", read=asked())).client.error
    assert told.message.endswith("; another replica, of 400 tokens/s, takes about 4 s more to start.")
    assert 4 < told.retry_after_s < late[-1].retry_after_s
    world.gate.expect("e1", "it", 0.0, 0.0)
    assert reading(world).predicted_wait_s > before


@settings(max_examples=1000, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["come", "go", "allot"]), st.integers(1, 4), st.integers(0, 18)), max_size=40)
)
def test_the_sum_of_allotments_never_exceeds_the_device(changes):
    async def check():
        gate = Gate(FakeClock())
        here = {}
        for kind, who, chunks in changes:
            if kind == "come":
                held = sum(one for key, one in here.items() if key != who)
                here[who] = min(chunks, 18 - held)
                gate.publish(endpoint(who, sale(here[who] * CHUNK, 1800)))
            elif kind == "go":
                here.pop(who, None)
                gate.withdraw(f"e{who}")
            else:
                gate.allot(f"e{who}", "it", {"": chunks * CHUNK})
            shares = [one.allotment / CHUNK * 0.05 for one in gate.readings()]
            assert sum(shares) <= SOLD_FRACTION + 1e-6
            assert all(one.minimum - 1e-6 <= one.allotment <= one.maximum for one in gate.readings())

    asyncio.run(check())


async def test_a_timer_sends_what_becomes_due_though_nothing_happens():
    world = World()
    world.table.publish(endpoint(1, sale(800, 800), replica(1, running=32)))
    numbers = count()
    while True:
        request = await world.ask(name="n1", read=asked(4000, 10))
        if not world.engines.waits(request.id):
            break
        assert next(numbers) < 50
    await world.clock.advance(60)
    assert world.engines.waits(request.id)


async def test_a_gate_that_is_closed_wakes_nobody_and_leaves_no_task():
    world = World()
    world.table.publish(endpoint(1, sale(800, 800), replica(1, running=32)))
    waiting = []
    while len(waiting) < 2:
        request = await world.ask(name="n1", read=asked(4000, 10))
        waiting += [] if world.engines.waits(request.id) else [request]
    world.gate.close()
    waiting.pop().interrupt.cut(Cut.GONE)
    await world.settle()
    await world.clock.advance(60)
    assert not world.engines.waits(waiting[0].id)
    waiting.pop().interrupt.cut(Cut.GONE)
    await world.settle()
    names = {task.get_coro().__qualname__ for task in asyncio.all_tasks()}
    assert not any(name.startswith("Gate.") for name in names)
