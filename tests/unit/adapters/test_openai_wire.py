"""Providers of OpenAI's wire, asked over real sockets."""

import asyncio
import json

import pytest
from provider_server import DONE, USAGE, chunk
from vendor_calls import TRACED, carries_the_trace

from penstock.adapters.providers.entra import EntraTokens
from penstock.adapters.providers.openai_wire import OpenAiWire
from penstock.adapters.providers.registry import Providers
from penstock.adapters.providers.wire import Patience, Wire
from penstock.domain.errors import ProviderFailed, ProviderLate
from penstock.domain.external_forms import ProviderKind
from penstock.domain.external_model import ExternalModel
from penstock.domain.model import Task
from penstock.domain.secret import Hidden
from penstock.ports.provider import ProviderCall
from penstock.testing.clock import FakeClock

BODY = (
    b'{"messages":[{"role":"user","content":"h\\u00e9"}],"model":"talk","unknown":{"a":[1.0]},"client_request_id":"x"}'
)
OPTIONS = {"include_usage": True}


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
async def provider(clock):
    wire = Wire(Patience(), allow_private=True)
    yield OpenAiWire(wire, EntraTokens(wire, clock), allow_private=True)
    await wire.close()


def call(fields, secrets, *, kind=ProviderKind.OPENAI, task=Task.CHAT, streaming=False, body=BODY):
    model = ExternalModel("gpt-4o", kind, task, fields)
    hidden = {field: Hidden(text) for field, text in secrets.items()}
    return ProviderCall(model, hidden, body, streaming, "r1", trace=TRACED)


def openai(server, *, streaming=False, body=BODY, task=Task.CHAT):
    fields = {"openai_api_base": f"{server.url}/v1/", "openai_organization": "org"}
    return call(fields, {"openai_api_key": "sk-1\n"}, streaming=streaming, body=body, task=task)


async def asked(provider, one):
    answer = await provider.open(one)
    body = await answer.whole()
    answer.close()
    return answer, body


async def streamed(provider, one):
    answer = await provider.open(one)
    parts = []
    try:
        while part := await answer.events():
            parts.append(part)
    finally:
        answer.close()
    return b"".join(parts)


async def test_a_body_keeps_what_is_not_known_and_gets_the_models_name(server, provider):
    content = b'{ "choices":[],"weird":1.50 }'
    server.answer(content, retry_after="7", x_other="1")
    answer, body = await asked(provider, openai(server))
    assert (answer.status, answer.content_type, answer.retry_after, body) == (200, b"application/json", b"7", content)
    [got] = server.got
    assert got.path == "/v1/chat/completions"
    assert got.headers["authorization"] == "Bearer sk-1"
    assert got.headers["openai-organization"] == "org"
    assert carries_the_trace(got)
    assert got.body == (b'{"messages":[{"role":"user","content":"h\\u00e9"}],"model":"gpt-4o","unknown":{"a":[1.0]}}')


@pytest.mark.parametrize(
    "case",
    [
        (
            ProviderKind.OPENAI,
            {
                "openai_api_type": "azure",
                "openai_api_base": "URL/",
                "openai_deployment_name": "my gpt",
                "openai_api_version": "2024-10-21",
            },
            {"openai_api_key": "k"},
            "/openai/deployments/my%20gpt/completions?api-version=2024-10-21",
            ("api-key", "k"),
        ),
        (
            ProviderKind.DATABRICKS,
            {"databricks_workspace_url": "URL"},
            {"databricks_api_token": "dapi1"},
            "/serving-endpoints/gpt-4o/invocations",
            ("authorization", "Bearer dapi1"),
        ),
        (
            ProviderKind.CUSTOM,
            {"custom_provider_url": "URL/v1"},
            {"bearer_token_auth.token": "t"},
            "/v1/completions",
            ("authorization", "Bearer t"),
        ),
        (
            ProviderKind.CUSTOM,
            {"custom_provider_url": "URL/api/completions", "api_key_auth.key": "x-key"},
            {"api_key_auth.value": "v"},
            "/api/completions",
            ("x-key", "v"),
        ),
    ],
)
async def test_where_each_provider_is_asked_and_how(server, provider, case):
    kind, fields, secrets, path, header = case
    server.answer()
    fields = {field: value.replace("URL", server.url) for field, value in fields.items()}
    await asked(provider, call(fields, secrets, kind=kind, task=Task.COMPLETIONS))
    [got] = server.got
    assert got.path == path
    assert got.headers[header[0]] == header[1]
    assert got.json["model"] == "gpt-4o"
    assert ("client_request_id" in got.json) == (kind is ProviderKind.DATABRICKS)


async def test_streams_ask_for_usage_and_pass_as_bytes(server, provider):
    events = [chunk("a", extra=1), chunk("b", finish="stop"), USAGE, DONE]
    server.stream(*events)
    assert await streamed(provider, openai(server, streaming=True)) == b"".join(events)
    assert server.got[0].json["stream_options"] == OPTIONS


async def test_what_the_client_says_of_usage_stays(server, provider):
    server.stream(DONE)
    mine = json.dumps({"messages": [], "stream_options": {"include_usage": False, "x": 1}}).encode()
    await streamed(provider, openai(server, streaming=True, body=mine))
    assert server.got[0].json["stream_options"] == {"include_usage": False, "x": 1}


async def test_a_server_that_knows_no_stream_options_is_asked_without_from_then_on(server, provider):
    server.answer({"error": {"message": "Unrecognized request argument supplied: stream_options"}}, 400)
    server.stream(chunk("a", finish="stop"), DONE)
    for _ in range(2):
        assert await streamed(provider, openai(server, streaming=True)) == chunk("a", finish="stop") + DONE
    assert [got.json.get("stream_options") for got in server.got] == [OPTIONS, None, None]


async def test_another_refusal_is_not_asked_again(server, provider):
    server.answer({"error": {"message": "too long"}}, 400)
    answer, body = await asked(provider, openai(server, streaming=True))
    assert (answer.status, body) == (400, b'{"error": {"message": "too long"}}')
    assert len(server.got) == 1


async def test_connections_are_kept_also_after_streams(server, provider):
    server.stream(chunk("a", finish="stop"), DONE)
    for _ in range(3):
        await streamed(provider, openai(server, streaming=True))
        # The end of the body comes after [DONE]; the connection is free when it is there.
        for _ in range(10_000):
            if provider._wire._connections.idle:
                break
            await asyncio.sleep(0.001)
    assert len({id(got.transport) for got in server.got}) == 1


async def test_a_kept_connection_that_was_closed_is_replaced_once(server, provider):
    server.answer()
    await asked(provider, openai(server))
    server.handlers = []
    server.cut()
    server.answer(b'{"again":1}')
    _, body = await asked(provider, openai(server))
    assert body == b'{"again":1}'
    server.handlers = []
    server.cut()
    with pytest.raises(ProviderFailed, match="cannot be reached"):
        await asked(provider, openai(server))
    assert len(server.got) == 5, "one fresh connection, no more"


async def test_a_stream_that_is_cut_has_failed_and_is_not_asked_again(server, provider):
    server.stream(chunk("a"), then="cut")
    answer = await provider.open(openai(server, streaming=True))
    assert await answer.events() == chunk("a")
    with pytest.raises(ProviderFailed, match="broke off in the middle"):
        await answer.events()
    answer.close()
    assert len(server.got) == 1


async def test_a_stream_that_ends_without_its_end_has_failed(server, provider):
    server.stream(chunk("a"))
    with pytest.raises(ProviderFailed, match="broke off"):
        await streamed(provider, openai(server, streaming=True))


async def test_closing_reaches_the_provider(server, provider):
    server.stream(chunk("a"), then="hang")
    answer = await provider.open(openai(server, streaming=True))
    await answer.events()
    answer.close()
    await asyncio.wait_for(server.hung_up.wait(), 30)


@pytest.mark.parametrize("streaming", [False, True])
async def test_silence_has_an_end(server, clock, streaming):
    wire = Wire(Patience(silence_s=0.05), allow_private=True)
    provider = OpenAiWire(wire, EntraTokens(wire, clock), allow_private=True)
    if streaming:
        server.stream(chunk("a"), then="hang")
        with pytest.raises(ProviderLate, match=r"fell silent|in time"):
            await streamed(provider, openai(server, streaming=True))
    else:
        server.silent()
        with pytest.raises(ProviderLate, match="did not answer in time"):
            await asked(provider, openai(server))
    await wire.close()


async def test_a_redirect_is_not_followed(server, provider):
    server.answer(b"", 307, location="http://169.254.169.254/")
    with pytest.raises(ProviderFailed, match="redirect"):
        await asked(provider, openai(server))
    assert len(server.got) == 1


async def test_private_addresses_are_refused_as_written_and_as_names_lead_to_them(server, clock):
    wire = Wire(Patience(), allow_private=False)
    provider = OpenAiWire(wire, EntraTokens(wire, clock), allow_private=False)
    server.answer()
    one = openai(server)
    assert "external.allow_private_addresses" in provider.problem(one.model)
    named = call({"openai_api_base": f"http://localhost:{server.port}"}, {"openai_api_key": "k"})
    for request in (one, named):
        with pytest.raises(ProviderFailed, match="not a public one"):
            await provider.open(request)
    assert not server.got
    assert not provider.problem(call({"openai_api_base": "https://api.example/v1"}, {}).model)
    await wire.close()


async def test_a_secret_that_no_header_may_have_is_not_told(server, provider):
    server.answer()
    fields = {"openai_api_base": server.url}
    with pytest.raises(ProviderFailed) as caught:
        await provider.open(call(fields, {"openai_api_key": "sk-1\r\nx: y"}))
    assert "openai_api_key" in caught.value.message
    assert "sk-1" not in caught.value.message


async def test_nobody_listens(provider, server):
    await server.close()
    with pytest.raises(ProviderFailed, match="cannot be reached"):
        await provider.open(openai(server))
    server.__init__()
    await server.start()


def entra(server):
    fields = {
        "openai_api_type": "azuread",
        "openai_api_base": server.url,
        "openai_deployment_name": "d",
        "openai_api_version": "v",
        "microsoft_entra_tenant_id": "ten",
        "microsoft_entra_client_id": "me",
        "microsoft_entra_authority": server.url,
    }
    return call(fields, {"microsoft_entra_client_secret": "s&1"})


async def test_entra_tokens_are_fetched_once_and_again_before_they_expire(server, provider, clock):
    server.answer({"access_token": "one", "expires_in": "3600"})
    server.answer()
    server.answer()
    server.answer({"access_token": "two", "expires_in": 3600})
    server.answer()
    await asked(provider, entra(server))
    await asked(provider, entra(server))
    await clock.advance(3500)
    await asked(provider, entra(server))
    first = server.got[0]
    assert first.path == "/ten/oauth2/v2.0/token"
    assert b"client_secret=s%261" in first.body
    assert b"grant_type=client_credentials" in first.body
    bearers = [got.headers.get("authorization") for got in server.got]
    assert bearers == [None, "Bearer one", "Bearer one", None, "Bearer two"]


async def test_a_token_that_is_refused_is_fetched_anew_by_the_next_request(server, provider):
    server.answer({"access_token": "one"})
    server.answer({"error": "expired"}, 401)
    server.answer({"access_token": "two"})
    server.answer()
    answer, _ = await asked(provider, entra(server))
    assert answer.status == 401
    await asked(provider, entra(server))
    assert server.got[-1].headers["authorization"] == "Bearer two"


async def test_entra_says_no(server, provider):
    server.answer({"error": "invalid_client", "error_description": "AADSTS7000215: s&1"}, 401)
    with pytest.raises(ProviderFailed, match=r"gave no token \(status 401\): invalid_client") as caught:
        await provider.open(entra(server))
    assert "s&1" not in caught.value.message


async def test_providers_that_are_not_there_are_named(provider):
    providers = Providers({ProviderKind.OPENAI: provider})
    model = ExternalModel("m", ProviderKind.ANTHROPIC, Task.CHAT)
    assert "'anthropic' is not supported by this server yet; it has: openai" in providers.problem(model)
    with pytest.raises(ProviderFailed, match="anthropic"):
        await providers.open(ProviderCall(model, {}, b"{}", False, "r"))
