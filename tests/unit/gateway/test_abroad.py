"""Requests to external models through the gateway: answers, fallback, and one record each."""

import json
from dataclasses import replace

import pytest
from world import STRANGER, USER, World

from penstock.domain.errors import InvalidRequest, PermissionDenied, ProviderFailed, ProviderLate
from penstock.domain.external_forms import ProviderKind
from penstock.domain.external_model import ExternalEntity, ExternalModel
from penstock.domain.model import Task
from penstock.domain.rate_limit import RateLimit
from penstock.domain.routing import EndpointRoute, EntityRoute
from penstock.domain.secret import Hidden, SecretRef
from penstock.domain.traffic import Route
from penstock.domain.usage import RequestOutcome, Usage
from penstock.gateway.abroad import error_of
from penstock.gateway.call import Asked
from penstock.gateway.interrupt import Cut
from penstock.gateway.meter import Meter
from penstock.testing.acl import OPEN
from penstock.testing.provider import FakeProviderAnswer

DONE = b"data: [DONE]\n\n"
KEY = SecretRef("llm", "key")
WHOLE = b'{"choices":[{"message":{"content":"12345678"}}],"usage":{"prompt_tokens":5,"completion_tokens":7}}'


def event(text, **more):
    return b"data: " + json.dumps({"choices": [{"delta": {"content": text}}], **more}).encode() + b"\n\n"


USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2,"prompt_tokens_details":null}}\n\n'


def external(name):
    model = ExternalModel(f"m-{name}", ProviderKind.OPENAI, Task.CHAT, {}, {"openai_api_key": KEY})
    return EntityRoute(name, (), scales_to_zero=False, external=ExternalEntity(name, model, "ann"))


def endpoint(*names, fallback=False, shares=None):
    shares = shares or {names[0]: 100}
    routes = tuple(Route(name, share) for name, share in shares.items())
    entities = tuple(external(name) for name in names)
    return EndpointRoute("e1", "guide", "boss", Task.CHAT, routes, entities, fallback=fallback, acl=OPEN)


@pytest.fixture
def world():
    made = World()
    made.secrets.texts[KEY] = "sk-1234"
    made.table.publish(endpoint("a"))
    return made


def reading(*, streaming=False, usage_wanted=False):
    return lambda _task, _body: Asked(streaming, "mine", size=40, usage_wanted=usage_wanted)


async def ask(world, **how):
    wanted = {name: how.pop(name) for name in ("streaming", "usage_wanted") if name in how}
    return await world.ask(read=reading(**wanted), **how)


async def test_an_answer_is_passed_on_and_accounted_without_a_gate(world):
    world.provider.will("m-a", FakeProviderAnswer(200, WHOLE))
    request = await ask(world)
    await request.task
    assert (request.client.status_code, request.client.body, request.client.entity) == (200, WHOLE, "a")
    [call] = world.provider.calls
    assert (call.model.name, call.secrets, call.body, call.streaming) == (
        "m-a",
        {"openai_api_key": Hidden("sk-1234")},
        b"{}",
        False,
    )
    record = world.record(request)
    assert (record.outcome, record.status, record.served_entity) == (RequestOutcome.COMPLETED, 200, "a")
    assert (record.usage, record.replica_id, record.device_s) == (Usage(5, 7), "", 0.0)
    assert (record.principal, record.client_request_id) == (USER.principal.name, "mine")


async def test_usage_that_nobody_tells_is_estimated_and_marked(world):
    world.provider.will("m-a", FakeProviderAnswer(200, b'{"choices":[{"message":{"content":"1234567"}}]}'))
    request = await ask(world)
    await request.task
    assert world.record(request).usage == Usage(10, 2, estimated=True)


@pytest.mark.parametrize("usage_wanted", [False, True])
async def test_a_stream_tells_its_usage_to_the_ledger_and_to_who_asked(world, usage_wanted):
    events = [event("x"), event("y"), USAGE + DONE]
    world.provider.will("m-a", FakeProviderAnswer(200, *events, streaming=True))
    request = await ask(world, streaming=True, usage_wanted=usage_wanted)
    await request.task
    assert request.client.body == event("x") + event("y") + (USAGE if usage_wanted else b"") + DONE
    assert world.record(request).usage == Usage(5, 2)
    assert world.record(request).outcome is RequestOutcome.COMPLETED


async def test_a_provider_that_dies_in_the_middle_leaves_an_error_event_and_what_was_used(world):
    answer = FakeProviderAnswer(200, event("x" * 8), streaming=True)
    world.table.publish(endpoint("a", "b", fallback=True))
    world.provider.will("m-a", answer)
    request = await ask(world, streaming=True)
    answer.break_off()
    await request.task
    error, usage = request.client.error, request.client.error_usage
    assert isinstance(error, ProviderFailed)
    assert usage == Usage(10, 2, estimated=True)
    record = world.record(request)
    assert (record.outcome, record.status, record.usage) == (RequestOutcome.FAILED, 500, usage)
    assert answer.closed
    assert len(world.provider.calls) == 1, "nothing is asked again once a byte has come"


@pytest.mark.parametrize("begun", [False, True])
async def test_a_client_that_hangs_up_ends_the_request_at_the_provider(world, begun):
    answer = FakeProviderAnswer(200, *([event("x" * 8)] if begun else []), streaming=True)
    world.provider.will("m-a", answer)
    request = await ask(world, streaming=True)
    request.interrupt.cut(Cut.GONE)
    await request.task
    assert answer.closed
    record = world.record(request)
    assert (record.outcome, record.reason) == (RequestOutcome.CANCELLED, Cut.GONE)
    assert record.usage == Usage(10, 2 if begun else 0, estimated=True)


async def test_the_time_limit_holds_for_providers_too(world):
    request = await ask(world)
    request.interrupt.cut(Cut.OVERDUE)
    await request.task
    assert world.record(request).status == 504


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
async def test_an_error_keeps_its_status_and_the_providers_words(world, status):
    answer = FakeProviderAnswer(status, b'{"error":{"message":"no: sk-1234"}}')
    answer.retry_after = b"9"
    world.provider.will("m-a", answer)
    request = await ask(world, streaming=True)
    await request.task
    assert request.client.status_code == status
    assert request.client.retry_after == b"9"
    told = json.loads(request.client.body)
    assert told["error"] == "Received error from openai"
    assert told["external_model_message"] == {"error": {"message": "no: ***"}}
    assert isinstance(told["error_code"], str)
    record = world.record(request)
    assert (record.status, record.usage) == (status, Usage())
    assert record.outcome is (RequestOutcome.FAILED if status >= 500 else RequestOutcome.REJECTED)


def test_an_error_that_is_no_json_is_told_as_text():
    told = json.loads(error_of("custom", 502, b"<html>k\xff</html>", {"key": Hidden(" k ")}))
    assert (told["external_model_message"], told["error_code"]) == ("<html>***�</html>", "INTERNAL_ERROR")


@pytest.mark.parametrize(
    "failure",
    [
        FakeProviderAnswer(429, b"{}"),
        FakeProviderAnswer(500, b"{}"),
        ProviderFailed("It cannot be reached."),
        ProviderLate("It did not answer in time."),
    ],
    ids=["429", "500", "unreachable", "late"],
)
async def test_what_fails_before_the_first_byte_falls_back_in_order(world, failure):
    world.table.publish(endpoint("a", "b", "c", fallback=True, shares={"b": 100}))
    world.provider.will("m-b", failure)
    world.provider.will("m-c", FakeProviderAnswer(503, b"{}"))
    world.provider.will("m-a", FakeProviderAnswer(200, WHOLE))
    request = await ask(world)
    await request.task
    assert [call.model.name for call in world.provider.calls] == ["m-b", "m-c", "m-a"]
    assert (request.client.status_code, request.client.entity) == (200, "a")
    record = world.record(request)
    assert (record.served_entity, record.usage) == ("a", Usage(5, 7))
    assert record.decision.startswith("'b' failed (")
    assert record.decision.endswith("'c' failed (answered 503), so 'a' was asked")


async def test_a_stream_that_breaks_before_its_first_event_falls_back(world):
    world.table.publish(endpoint("a", "b", fallback=True))
    broken = FakeProviderAnswer(200, streaming=True)
    broken.break_off()
    world.provider.will("m-a", broken)
    world.provider.will("m-b", FakeProviderAnswer(200, event("x"), DONE, streaming=True))
    request = await ask(world, streaming=True)
    await request.task
    assert (request.client.body, request.client.entity) == (event("x") + DONE, "b")
    assert broken.closed


async def test_the_last_answer_wins_when_all_fail(world):
    world.table.publish(endpoint("a", "b", fallback=True))
    world.provider.will("m-a", FakeProviderAnswer(500, b'"first"'))
    world.provider.will("m-b", FakeProviderAnswer(429, b'"last"'))
    request = await ask(world)
    await request.task
    assert (request.client.status_code, request.client.entity) == (429, "b")
    assert json.loads(request.client.body)["external_model_message"] == "last"
    assert world.record(request).status == 429


async def test_what_the_client_did_wrong_does_not_fall_back(world):
    world.table.publish(endpoint("a", "b", fallback=True))
    world.provider.will("m-a", FakeProviderAnswer(400, b"{}"))
    request = await ask(world)
    await request.task
    assert (request.client.status_code, len(world.provider.calls)) == (400, 1)


@pytest.mark.parametrize(("fallback", "entity"), [(False, None), (True, "a")])
async def test_without_fallback_or_for_one_entity_nothing_stands_in(world, fallback, entity):
    world.table.publish(endpoint("a", "b", fallback=fallback))
    world.provider.will("m-a", FakeProviderAnswer(503, b"{}"))
    request = await ask(world, entity=entity)
    await request.task
    assert (request.client.status_code, len(world.provider.calls)) == (503, 1)


async def test_traffic_is_split_and_one_entity_may_be_addressed(world):
    world.table.publish(endpoint("a", "b", shares={"a": 30, "b": 70}))
    for point, addressed, model in ((0.29, None, "m-a"), (0.31, None, "m-b"), (0.31, "a", "m-a")):
        world.provider.will(model, FakeProviderAnswer(200, WHOLE))
        world.point = point
        request = await ask(world, entity=addressed)
        await request.task
        assert world.provider.calls[-1].model.name == model


@pytest.mark.parametrize("problem", ["gone", "denied"])
async def test_a_secret_that_cannot_be_read_is_named(world, problem):
    world.table.publish(endpoint("a", "b", fallback=True))
    if problem == "gone":
        world.secrets.texts.clear()
    else:
        world.secrets.denied.add("ann")
    request = await ask(world)
    await request.task
    error = request.client.error
    assert isinstance(error, InvalidRequest)
    assert "openai_api_key of served entity 'a' cannot be read" in error.message
    assert world.record(request).outcome is RequestOutcome.REJECTED
    assert not world.provider.calls


async def test_who_may_not_query_asks_no_provider(world):
    request = await ask(world, caller=STRANGER)
    await request.task
    assert isinstance(request.client.error, PermissionDenied)
    assert not world.provider.calls


def test_the_meter_reads_what_answers_have():
    meter = Meter(7, counted=True)
    meter.feed(b'data: {"choices":[{"text":"abc"}]}\n\ndata: nonsense\n\ndata: {"choices":null,"usage":null}\n\n')
    meter.feed(b'data: {"choices":[{"delta":{"content":[{"type":"text"}]}}]}\n\n')
    assert (meter.usage(), meter.done) == (Usage(7, 1, estimated=True), False)
    meter.feed(b'data: {"choices":[{"delta":{}}],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n' + DONE)
    assert (meter.usage(), meter.done) == (Usage(7, 2), True)


def test_filter_results_without_choices_pass_though_usage_is_hidden():
    first = b'data: {"choices":[],"prompt_filter_results":[],"usage":null}\n\n'
    meter = Meter(1, hides_usage=True)
    assert meter.feed(first + USAGE) == first


@pytest.mark.parametrize("streaming", [False, True])
async def test_limits_count_what_external_models_use(world, streaming):
    world.table.publish(replace(endpoint("a"), limits=(RateLimit(calls=3, tokens=5000),)))
    answer = FakeProviderAnswer(200, event("one", **json.loads(USAGE[6:])), DONE) if streaming else None
    world.provider.will("m-a", answer or FakeProviderAnswer(200, WHOLE))
    request = await ask(world, streaming=streaming)
    await request.task
    left = dict(world.limits.headers("e1", USER.principal))
    assert left[b"x-ratelimit-remaining-tokens"] == str(5000 - (7 if streaming else 12)).encode()
    assert left[b"x-ratelimit-remaining-requests"] == b"2"
    assert request.client.limits[b"x-ratelimit-limit-tokens"] == b"5000"


async def test_secrets_are_read_before_a_request_needs_them_and_one_that_is_missing_keeps_no_other_from_it(world):
    missing = ExternalModel("m-b", ProviderKind.OPENAI, Task.CHAT, {}, {"openai_api_key": SecretRef("llm", "none")})
    route = endpoint("a", "b")
    broken = replace(route.entities[1], external=ExternalEntity("b", missing, "ann"))
    world.table.publish(replace(route, name="broken", id="e0", entities=(broken,)))
    world.table.publish(route)
    assert await world.gateway.abroad.prepare(world.table) == ""
    assert KEY in world.secrets.asked


@pytest.mark.parametrize(
    ("said", "choices", "most", "left"),
    [(None, 1, 1250, 3722), (100, 1, None, 4872), (1_000_000, 1, 4972, 0), (None, 2, 625, 3722)],
)
async def test_an_answer_without_a_bound_or_with_a_huge_one_gets_one(world, said, choices, most, left):
    world.table.publish(replace(endpoint("a"), limits=(RateLimit(tokens=5000),)))
    request = await world.ask(read=lambda *_: Asked(False, "mine", size=40, most_out=said, choices=choices))
    assert [call.most for call in world.provider.calls] == [most]
    assert dict(world.limits.headers("e1", USER.principal))[b"x-ratelimit-remaining-tokens"] == str(left).encode()
    request.interrupt.cut(Cut.GONE)
    await request.task


async def test_where_only_calls_are_limited_answers_have_no_bound(world):
    world.table.publish(replace(endpoint("a"), limits=(RateLimit(calls=3),)))
    world.provider.will("m-a", FakeProviderAnswer(200, WHOLE))
    await (await ask(world)).task
    assert [call.most for call in world.provider.calls] == [None]
