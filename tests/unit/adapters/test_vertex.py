"""Vertex AI, asked over real sockets in the name of a service account, and read at any cut."""

import base64
import json
from urllib.parse import parse_qs

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from vendor_calls import (
    LOOK,
    SCHEMA,
    TALK,
    TOOLS,
    asked,
    call,
    carries_the_trace,
    events,
    split_anywhere,
    sse,
    streamed,
    told,
)

from penstock.adapters.providers import google_tokens, vertex
from penstock.adapters.providers.chat_answer import Heading
from penstock.adapters.providers.vertex import Vertex
from penstock.adapters.providers.vertex_chat import ChatEvents
from penstock.adapters.providers.wire import Patience, Wire
from penstock.domain.errors import InvalidRequest, ProviderFailed
from penstock.domain.external_forms import ProviderKind
from penstock.domain.model import Task
from penstock.testing.clock import FakeClock

KEY = rsa.generate_private_key(65537, 2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
USAGE = {"promptTokenCount": 10, "candidatesTokenCount": 4, "thoughtsTokenCount": 3, "cachedContentTokenCount": 2}
MODELS = "/v1/projects/p1/locations/us-central1/publishers/google/models"


def piece(*parts, reason=None, **more):
    candidate = {"content": {"role": "model", "parts": list(parts)}, **({"finishReason": reason} if reason else {})}
    return {"candidates": [candidate], "responseId": "g1", "modelVersion": "gemini-2.5-pro", **more}


def line(body):
    return b"data: " + json.dumps(body).encode() + b"\r\n\r\n"


USE = {"functionCall": {"name": "weather", "args": {"city": "Rome"}}, "thoughtSignature": "c2ln"}
PIECES = [
    line(piece({"text": "Hm", "thought": True})),
    line(piece({"text": "H\u00e9"}, usageMetadata={"promptTokenCount": 10})),
    line(piece({"text": "llo"}, USE, {"functionCall": {"name": "now"}})),
    line(piece({"text": ""}, reason="STOP", usageMetadata=USAGE)),
]


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
async def provider(clock):
    wire = Wire(Patience(), allow_private=True)
    yield Vertex(wire, clock, allow_private=True)
    await wire.close()


def gemini(server, *, name="gemini-2.5-pro", key=None, **body):
    fields = {"project_id": "p1", "region": "us-central1", "vertex_ai_api_base": f"{server.url}/"}
    account = {"client_email": "me@p1", "private_key": PEM, "private_key_id": "k1", "token_uri": f"{server.url}/token"}
    key = json.dumps(account) if key is None else key
    return call(ProviderKind.GOOGLE_VERTEX, name, fields, {"private_key": key}, **body)


def signs_in(server, token="ya29.one"):
    server.answer({"access_token": token, "expires_in": 3599, "token_type": "Bearer"})


async def sent(server, provider, **body):
    signs_in(server)
    server.answer(piece({"text": "x"}, reason="STOP"))
    await asked(provider, gemini(server, **body))
    return server.got[-1].json


def claims(assertion):
    """What an assertion says, if its signature is good."""
    head, body, signature = (base64.urlsafe_b64decode(part + "==") for part in assertion.split("."))
    KEY.public_key().verify(signature, assertion.rpartition(".")[0].encode(), padding.PKCS1v15(), hashes.SHA256())
    return json.loads(head), json.loads(body)


async def test_a_request_in_the_accounts_name_and_its_answer(server, provider, clock):
    signs_in(server)
    server.answer(piece({"text": "Hello."}, reason="STOP", usageMetadata=USAGE), retry_after="3")
    answer, body = await asked(provider, gemini(server))
    sign_in, got = server.got
    form = parse_qs(sign_in.body.decode())
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    head, said = claims(form["assertion"][0])
    assert (head["alg"], head["kid"]) == ("RS256", "k1")
    now = clock.now_ms() // 1000
    assert said == {
        "iss": "me@p1",
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": f"{server.url}/token",
        "iat": now,
        "exp": now + 3600,
    }
    assert got.path == f"{MODELS}/gemini-2.5-pro:generateContent"
    assert got.headers["authorization"] == "Bearer ya29.one"
    assert carries_the_trace(got)
    assert got.json == {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
    assert (answer.status, answer.content_type, answer.retry_after) == (200, b"application/json", b"3")
    assert (body["id"], body["model"], body["object"]) == ("g1", "gemini-2.5-pro", "chat.completion")
    [choice] = body["choices"]
    assert (choice["message"], choice["finish_reason"]) == ({"role": "assistant", "content": "Hello."}, "stop")
    assert body["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 7,
        "total_tokens": 17,
        "prompt_tokens_details": {"cached_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }


async def test_tokens_are_kept_until_they_expire_or_are_refused(server, provider, clock):
    signs_in(server)
    server.answer(piece({"text": "x"}, reason="STOP"))
    server.answer({"error": {"code": 401}}, 401)
    for token in ("two", "three"):
        signs_in(server, token)
        server.answer(piece({"text": "x"}, reason="STOP"))
    for status in (200, 401, 200):
        assert (await asked(provider, gemini(server)))[0].status == status
    await clock.advance(3500)
    await asked(provider, gemini(server))
    bearers = [got.headers["authorization"] for got in server.got if "authorization" in got.headers]
    assert bearers == ["Bearer ya29.one", "Bearer ya29.one", "Bearer two", "Bearer three"]


@pytest.mark.parametrize("key", ["no json", "{}", '{"client_email": "me", "private_key": "-----BEGIN s3cret"}'])
async def test_a_key_that_is_none_is_not_told(server, provider, key):
    with pytest.raises(ProviderFailed, match="not the JSON of a service account") as caught:
        await provider.open(gemini(server, key=key))
    assert "s3cret" not in caught.value.message
    assert not server.got


async def test_google_says_no(server, provider):
    server.answer({"error": "invalid_grant", "error_description": "x"}, 400)
    with pytest.raises(ProviderFailed, match=r"gave no token \(status 400\): invalid_grant"):
        await provider.open(gemini(server))


async def test_a_talk_with_tools_is_said_in_its_words(server, provider):
    got = await sent(server, provider, messages=TALK, tools=TOOLS, tool_choice="required")
    assert got["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
    assert got["contents"] == [
        {"role": "user", "parts": [{"text": "Weather?"}]},
        {
            "role": "model",
            "parts": [
                {"functionCall": {"name": "weather", "args": {"city": "Rome"}}},
                {"functionCall": {"name": "now", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "weather", "response": {"result": "sun"}}},
                {"functionResponse": {"name": "now", "response": {"result": "noon"}}},
            ],
        },
    ]
    declared = [{"name": "weather", "description": "Tells it", "parametersJsonSchema": SCHEMA}, {"name": "now"}]
    assert got["tools"] == [{"functionDeclarations": declared}]
    assert got["toolConfig"] == {"functionCallingConfig": {"mode": "ANY"}}
    one = {"type": "function", "function": {"name": "now"}}
    got = await sent(server, provider, tools=TOOLS, tool_choice=one)
    assert got["toolConfig"] == {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["now"]}}


async def test_images_come_along_or_are_referred_to(server, provider):
    linked = {"type": "image_url", "image_url": {"url": "https://x.example/a.jpg?x=1"}}
    got = await sent(server, provider, messages=[*LOOK, {"role": "user", "content": [linked]}])
    assert got["contents"][0]["parts"] == [
        {"text": "What is it?"},
        {"inlineData": {"mimeType": "image/png", "data": "aGk="}},
        {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://x.example/a.jpg?x=1"}},
    ]


async def test_fields_have_their_effect_and_its_own_pass(server, provider):
    got = await sent(
        server,
        provider,
        max_completion_tokens=9,
        temperature=0.5,
        top_p=0.9,
        top_k=5,
        stop="END",
        n=2,
        seed=7,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        reasoning_effort="low",
        response_format={"type": "json_schema", "json_schema": {"name": "c", "schema": SCHEMA}},
        generationConfig={"mediaResolution": "MEDIA_RESOLUTION_LOW"},
        safetySettings=[],
    )
    assert got["safetySettings"] == []
    assert got["generationConfig"] == {
        "mediaResolution": "MEDIA_RESOLUTION_LOW",
        "maxOutputTokens": 9,
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 5,
        "stopSequences": ["END"],
        "candidateCount": 2,
        "seed": 7,
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "thinkingConfig": {"thinkingLevel": "LOW"},
        "responseMimeType": "application/json",
        "responseJsonSchema": SCHEMA,
    }
    got = await sent(server, provider, response_format={"type": "json_object"})
    assert got["generationConfig"] == {"responseMimeType": "application/json"}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"logprobs": True}, "logprobs cannot be set"),
        ({"user": "me"}, "user cannot be set"),
        ({"tools": TOOLS, "parallel_tool_calls": False}, "parallel_tool_calls cannot be false"),
        ({"reasoning_effort": "none"}, "reasoning_effort must be one of"),
        ({"messages": [{"role": "tool", "tool_call_id": "c9", "content": "x"}]}, r"messages\[0\].tool_call_id must be"),
        ({"messages": [{"role": "user", "content": [{"type": "file"}]}]}, "a part of type 'file'"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/a"}}]}]},
            r"messages\[0\] has an image whose address",
        ),
    ],
)
async def test_what_cannot_be_said_there_is_refused_by_name(server, provider, body, named):
    with pytest.raises(InvalidRequest, match=named):
        await provider.open(gemini(server, **body))
    assert not server.got


async def test_calls_of_a_whole_answer_keep_their_signature(server, provider):
    signs_in(server)
    server.answer(piece({"text": "Hm", "thought": True}, {"text": "I look."}, USE, reason="STOP"))
    _, body = await asked(provider, gemini(server))
    [choice] = body["choices"]
    assert choice["finish_reason"] == "tool_calls"
    message = choice["message"]
    assert message["content"][0] == {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}]}
    assert message["tool_calls"] == [
        {
            "id": "call_g1_0",
            "type": "function",
            "function": {"name": "weather", "arguments": '{"city":"Rome"}'},
            "extra_content": {"google": {"thought_signature": "c2ln"}},
        }
    ]
    result = {"role": "tool", "tool_call_id": "call_g1_0", "content": '{"sky":"blue"}'}
    server.handlers.clear()
    server.answer(piece({"text": "x"}, reason="STOP"))
    await asked(provider, gemini(server, messages=[{"role": "user", "content": "x"}, message, result]))
    said, answered = server.got[-1].json["contents"][1:]
    assert said == {"role": "model", "parts": [{"text": "I look."}, USE]}
    assert answered["parts"] == [{"functionResponse": {"name": "weather", "response": {"sky": "blue"}}}]


async def test_what_is_blocked_is_filtered(server, provider):
    signs_in(server)
    server.answer({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 5}})
    _, body = await asked(provider, gemini(server))
    assert body["choices"][0]["finish_reason"] == "content_filter"
    server.handlers.clear()
    server.stream(line({"promptFeedback": {"blockReason": "SAFETY"}}))
    assert b'"content_filter"' in await streamed(provider, gemini(server, streaming=True))


async def test_a_stream_is_told_as_it_comes(server, provider):
    signs_in(server)
    server.stream(*PIECES)
    stream = await streamed(provider, gemini(server, streaming=True))
    assert server.got[-1].path == f"{MODELS}/gemini-2.5-pro:streamGenerateContent?alt=sse"
    text, calls, reason, usage = told(stream)
    assert text == "H\u00e9llo"
    assert calls == [("call_g1_0", "weather", '{"city":"Rome"}'), ("call_g1_1", "now", "{}")]
    assert (reason, usage["prompt_tokens"], usage["completion_tokens"]) == ("tool_calls", 10, 7)
    assert {one["model"] for one in events(stream)} == {"gemini-2.5-pro"}


def test_a_stream_may_be_cut_at_any_byte():
    wire = b"".join(PIECES)
    make = sse(lambda: ChatEvents("Provider 'x'", Heading("c", 1, "m")))
    said = split_anywhere(make, wire)
    assert told(said)[2] == "tool_calls"
    assert split_anywhere(make, wire.removesuffix(b"\r\n\r\n")) == said


async def test_its_errors_keep_their_status_words_and_retry_after(server, provider):
    said = {"error": {"code": 429, "message": "Resource exhausted", "status": "RESOURCE_EXHAUSTED"}}
    signs_in(server)
    server.answer(said, 429, retry_after="17")
    for streaming in (False, True):
        answer, body = await asked(provider, gemini(server, streaming=streaming))
        assert (answer.status, answer.retry_after, body) == (429, b"17", said)


async def test_a_stream_that_breaks_off_or_fails_is_no_answer(server, provider):
    signs_in(server)
    failed = line({"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}})
    server.stream(*PIECES[:2], then="cut")
    server.stream(*PIECES[:2])
    server.stream(*PIECES[:2], failed)
    server.stream(line({"candidates": 3}))
    for why in ("broke off", "broke off", "UNAVAILABLE: overloaded", "an event that its API does not have"):
        with pytest.raises(ProviderFailed, match=why):
            await streamed(provider, gemini(server, streaming=True))
    server.handlers.clear()
    server.answer({"something": "else"})
    with pytest.raises(ProviderFailed, match="has not the shape"):
        await asked(provider, gemini(server))


def vectors(server, name, **body):
    return gemini(server, name=name, task=Task.EMBEDDINGS, **body)


def predicted(*values):
    found = [
        {"embeddings": {"values": [one, 0.5], "statistics": {"token_count": 3, "truncated": False}}} for one in values
    ]
    return {"predictions": found}


async def test_predict_takes_texts_together(server, provider):
    signs_in(server)
    server.answer(predicted(1, 2))
    one = vectors(server, "text-embedding-005", input=["a", "b"], dimensions=64, task_type="RETRIEVAL_QUERY")
    _, body = await asked(provider, one)
    assert server.got[-1].path == f"{MODELS}/text-embedding-005:predict"
    assert server.got[-1].json == {
        "instances": [
            {"content": "a", "task_type": "RETRIEVAL_QUERY"},
            {"content": "b", "task_type": "RETRIEVAL_QUERY"},
        ],
        "parameters": {"outputDimensionality": 64},
    }
    assert [one["embedding"] for one in body["data"]] == [[1, 0.5], [2, 0.5]]
    assert body["usage"] == {"prompt_tokens": 6, "total_tokens": 6}


async def test_geminis_embeddings_are_asked_text_by_text(server, provider):
    async def handle(request):
        body = await request.json()
        if request.path.endswith(":predict"):
            [instance] = body["instances"]
            return web.json_response(predicted(int(instance["content"])))
        number = int(body["content"]["parts"][0]["text"])
        embedded = {"embedding": {"values": [number, 0.5]}, "usageMetadata": {"promptTokenCount": 3}}
        return web.json_response(embedded)

    signs_in(server)
    server.handlers.append(handle)
    for name, operation in (("gemini-embedding-001", "predict"), ("gemini-embedding-2", "embedContent")):
        _, body = await asked(provider, vectors(server, name, input=["1", "2"]))
        assert server.got[-1].path == f"{MODELS}/{name}:{operation}"
        assert [one["embedding"] for one in body["data"]] == [[1, 0.5], [2, 0.5]]
        assert body["usage"]["prompt_tokens"] == 6


def test_what_it_does_not_serve(server, provider, monkeypatch):
    model = gemini(server).model
    assert provider.problem(model) == ""
    assert "were retired" in provider.problem(gemini(server, task=Task.COMPLETIONS).model)
    public_only = Vertex(Wire.__new__(Wire), FakeClock(), allow_private=False)
    assert "vertex_ai_api_base is an address of a private network" in public_only.problem(model)
    model.fields["region"] = "x.example/"
    assert "region must be a location" in provider.problem(model)
    monkeypatch.setattr(google_tokens, "find_spec", lambda _name: None)
    assert "penstock[vertex]" in provider.problem(gemini(server).model)


def test_the_endpoint_of_a_region():
    hosts = {"europe-west4": "europe-west4-aiplatform", "global": "aiplatform", "eu": "aiplatform.eu.rep"}
    assert all(vertex.endpoint(name) == f"https://{host}.googleapis.com" for name, host in hosts.items())
