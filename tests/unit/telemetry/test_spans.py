"""Spans and figures of a request, by OpenTelemetry's conventions for generative AI."""

import json

import pytest
from ended import CALLER, OWN, TRY, called, ended

from penstock.adapters.telemetry.figures import INSTRUMENTS, points_of
from penstock.adapters.telemetry.said import asked_messages, told_messages
from penstock.adapters.telemetry.spans import Kind, span_of_call, spans_of
from penstock.domain.external_forms import ProviderKind
from penstock.domain.external_model import ExternalModel
from penstock.domain.genai import provider_of
from penstock.domain.model import Task
from penstock.domain.usage import RequestOutcome, Usage

BEGAN = 1_700_000_000_000_000_000


def spans(one):
    return list(spans_of(one, one.traced))


def test_a_request_has_its_own_span_its_wait_and_its_try():
    own, wait, leg = spans(ended())
    assert (own.name, own.kind, own.context, own.parent) == ("chat guide", Kind.SERVER, OWN, CALLER)
    assert (own.began_ns, own.ended_ns, own.error) == (BEGAN, BEGAN + 1_500_000_000, "")
    assert own.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "penstock",
        "gen_ai.request.model": "guide",
        "gen_ai.request.stream": True,
        "gen_ai.response.time_to_first_chunk": 0.5,
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 11,
        "gen_ai.usage.cache_read.input_tokens": 3,
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "penstock.request.id": "q1",
        "penstock.endpoint.name": "guide",
        "penstock.served_entity.name": "far",
        "penstock.outcome": "completed",
        "penstock.overhead.duration": 0.0004,
    }
    assert (wait.name, wait.kind, wait.parent) == ("queue", Kind.INTERNAL, OWN)
    assert (wait.began_ns, wait.ended_ns) == (BEGAN, BEGAN + 20_000_000)
    assert wait.attributes == {"penstock.priority": "reserved", "penstock.lane": "lent"}
    assert (leg.name, leg.kind, leg.context, leg.parent) == ("chat gpt-4o", Kind.CLIENT, TRY, OWN)
    assert (leg.began_ns, leg.ended_ns) == (BEGAN + 20_000_000, BEGAN + 1_500_000_000)
    assert leg.attributes["gen_ai.provider.name"] == "openai"
    assert leg.attributes["gen_ai.usage.output_tokens"] == 11
    assert len({one.context.span_id for one in (own, wait, leg)}) == 3


def test_errors_are_kinds_and_refusals_are_no_errors_of_ours():
    own, _, leg = spans(ended(error="503", status=503, outcome=RequestOutcome.FAILED, reason="the prompt was: hi"))
    assert (own.error, own.attributes["error.type"]) == ("503", "503")
    assert (leg.error, leg.attributes["error.type"]) == ("503", "503")
    assert "gen_ai.usage.input_tokens" not in leg.attributes
    assert "hi" not in json.dumps([dict(own.attributes), dict(leg.attributes)])
    own, *_ = spans(ended(status=429, outcome=RequestOutcome.REJECTED))
    assert (own.error, own.attributes["error.type"]) == ("", "429")


@pytest.mark.parametrize(
    ("task", "operation"),
    [(Task.CHAT, "chat"), (Task.COMPLETIONS, "text_completion"), (Task.EMBEDDINGS, "embeddings")],
)
def test_tasks_have_the_conventions_names(task, operation):
    assert spans(ended(task=task.value))[0].attributes["gen_ai.operation.name"] == operation


@pytest.mark.parametrize(
    ("kind", "fields", "name"),
    [
        (ProviderKind.OPENAI, {}, "openai"),
        (ProviderKind.OPENAI, {"openai_api_type": "azuread"}, "azure.ai.openai"),
        (ProviderKind.ANTHROPIC, {}, "anthropic"),
        (ProviderKind.AMAZON_BEDROCK, {}, "aws.bedrock"),
        (ProviderKind.GOOGLE_VERTEX, {}, "gcp.vertex_ai"),
        (ProviderKind.COHERE, {}, "cohere"),
        (ProviderKind.CUSTOM, {}, "custom"),
    ],
)
def test_providers_have_the_conventions_names(kind, fields, name):
    assert provider_of(ExternalModel("m", kind, Task.CHAT, fields)) == name


def test_a_request_to_the_control_plane_is_a_route():
    span = span_of_call(called(500))
    assert (span.name, span.kind, span.error) == ("GET /api/2.0/secrets/list", Kind.SERVER, "500")
    assert span.attributes == {
        "http.request.method": "GET",
        "http.route": "/api/2.0/secrets/list",
        "http.response.status_code": 500,
        "error.type": "500",
        "penstock.request.id": "r1",
    }
    assert span.ended_ns - span.began_ns == 250_000_000


def test_figures_of_a_stream():
    points = {(one.name, about.get("gen_ai.token.type")): (value, about) for one, value, about in points_of(ended())}
    values = {key: value for key, (value, _) in points.items()}
    assert values == {
        ("gen_ai.server.request.duration", None): 1.5,
        ("gen_ai.server.time_to_first_token", None): 0.5,
        ("gen_ai.server.time_per_output_token", None): pytest.approx(0.1),
        ("gen_ai.client.token.usage", "input"): 5,
        ("gen_ai.client.token.usage", "output"): 11,
        ("penstock.request.queue.duration", None): 0.02,
        ("penstock.overhead.duration", None): 0.0004,
    }
    assert points["gen_ai.server.request.duration", None][1] == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "penstock.endpoint.name": "guide",
    }
    assert {name for name, _ in values} == {one.name for one in INSTRUMENTS}


def test_figures_of_a_refusal():
    one = ended(status=429, outcome=RequestOutcome.REJECTED, usage=Usage())
    points = {instrument.name: about for instrument, _, about in points_of(one)}
    assert points["gen_ai.server.request.duration"]["error.type"] == "429"
    assert "gen_ai.client.token.usage" not in points


def test_texts_are_told_only_where_they_were_kept():
    asked = {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {}}]},
            {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
            "nonsense",
        ]
    }
    body = json.dumps(asked).encode()
    answer = b'{"choices":[{"index":0,"message":{"content":"Hello."},"finish_reason":"stop"}]}'
    own, *_ = spans(ended(said=(body, answer)))
    assert json.loads(own.attributes["gen_ai.input.messages"]) == [
        {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
        {"role": "user", "parts": [{"type": "text", "content": "Look"}]},
        {"role": "assistant", "parts": [{"type": "tool_call", "name": "f", "arguments": "{}"}]},
    ]
    assert json.loads(own.attributes["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "Hello."}], "finish_reason": "stop"}
    ]
    assert not [name for name in spans(ended())[0].attributes if "messages" in name]


def test_a_streams_text_is_put_together_by_choice():
    events = [
        {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]},
        {"choices": [{"index": 0, "delta": {"content": "Hel"}}, {"index": 1, "delta": {"content": "Ho"}}]},
        {"choices": [{"index": 0, "delta": {"content": "lo"}, "finish_reason": "stop"}]},
        {"choices": [], "usage": {}},
    ]
    body = b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in events) + b"data: [DONE]\n\n"
    first, second = json.loads(told_messages(body))
    assert (first["parts"][0]["content"], first["finish_reason"]) == ("Hello", "stop")
    assert (second["parts"][0]["content"], second["finish_reason"]) == ("Ho", "")
    cut = json.loads(told_messages(body[: body.index(b"lo")]))
    assert cut[0]["parts"][0]["content"] == "Hel", "what was cut off is left out"


@pytest.mark.parametrize("body", [b"", b"x", b"[]", b"{}", b'{"messages":1}', b'{"prompt":[1,2]}', b'{"choices":[1]}'])
def test_what_says_nothing_is_told_as_nothing(body):
    assert (asked_messages(body), told_messages(body)) == ("", "")


def test_prompts_and_inputs_are_messages_too():
    assert json.loads(asked_messages(b'{"prompt":"Hi"}'))[0]["parts"][0]["content"] == "Hi"
    assert [one["parts"][0]["content"] for one in json.loads(asked_messages(b'{"input":["a","b"]}'))] == ["a", "b"]
