"""Over HTTP: our own time in the answer, and the trace that goes to engines and providers."""

import asyncio

import pytest

from penstock.domain.external_forms import ProviderKind
from penstock.domain.external_model import ExternalEntity, ExternalModel
from penstock.domain.model import Task
from penstock.domain.routing import EndpointRoute, EntityRoute
from penstock.domain.trace_context import TraceContext
from penstock.domain.traffic import Route
from penstock.testing.acl import OPEN
from penstock.testing.provider import FakeProviderAnswer

HELLO = {"messages": [{"role": "user", "content": "hello"}]}
ANSWER = b'{"id":"x","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}'
INVOKE = "/serving-endpoints/guide/invocations"
OVERHEAD = "x-penstock-overhead-ms"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADERS = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "a=b"}


async def test_the_engines_time_is_not_ours(served, plane, engine):
    plane.publish(engine)
    asking = served.asking(INVOKE, HELLO)
    turn = await engine.turn()
    await plane.clock.advance(5)
    turn.answer(ANSWER)
    answer = await asking
    assert answer.headers[OVERHEAD] == "0.000"
    assert (await plane.record()).duration_ms == 5000


async def test_our_time_until_the_head_is_told_and_summed(served, plane, engine, monkeypatch):
    engine.constant = ANSWER
    plane.publish(engine)
    find = plane.table.find

    def slow(name):
        plane.clock._passed += 0.25
        return find(name)

    monkeypatch.setattr(plane.table, "find", slow)
    answer = await served.post(INVOKE, HELLO)
    told_ms = float(answer.headers[OVERHEAD])
    assert told_ms >= 250
    await plane.record()
    (sums,) = plane.observer.sums.told()["id-guide"].values()
    assert sums.overhead.total == pytest.approx(told_ms / 1000, abs=1e-5)


async def test_streams_errors_and_lists_tell_it_too(served, plane, engine):
    plane.publish(engine)
    asking = served.asking(INVOKE, {**HELLO, "stream": True})
    turn = await engine.turn()
    await turn.write(b'data: {"choices":[]}\n\n', b"data: [DONE]\n\n")
    turn.finish()
    answers = [await asking, await served.post("/serving-endpoints/none/invocations", HELLO)]
    async with served.session.get("/serving-endpoints/models") as listed:
        answers.append(listed)
    assert [answer.status for answer in answers] == [200, 404, 200]
    assert all(float(answer.headers[OVERHEAD]) >= 0 for answer in answers)


async def test_a_clients_context_reaches_the_engine(served, plane, engine):
    plane.publish(engine)
    asking = asyncio.ensure_future(served.post(INVOKE, HELLO, headers=HEADERS))
    turn = await engine.turn()
    turn.answer(ANSWER)
    await asking
    assert (turn.headers["traceparent"], turn.headers["tracestate"]) == (HEADERS["traceparent"], "a=b")
    assert (await plane.record()).trace_id == TRACE


async def test_a_context_that_is_not_valid_reaches_nobody(served, plane, engine):
    plane.publish(engine)
    asking = asyncio.ensure_future(served.post(INVOKE, HELLO, headers={"traceparent": "nonsense", "tracestate": "a=b"}))
    turn = await engine.turn()
    turn.answer(ANSWER)
    assert (await asking).status == 200
    assert not {"traceparent", "tracestate"} & {name.lower() for name in turn.headers}


async def test_a_clients_context_reaches_the_provider(served, plane):
    model = ExternalModel("gpt-4o", ProviderKind.OPENAI, Task.CHAT, {}, {})
    entity = EntityRoute("far", (), scales_to_zero=False, external=ExternalEntity("far", model, "ann"))
    plane.table.publish(EndpointRoute("e1", "guide", "ann", Task.CHAT, (Route("far", 100),), (entity,), acl=OPEN))
    plane.provider.will("gpt-4o", FakeProviderAnswer(200, ANSWER))
    assert (await served.post(INVOKE, HELLO, headers=HEADERS)).status == 200
    (call,) = plane.provider.calls
    assert call.trace == TraceContext(TRACE, SPAN, 1, "a=b")
