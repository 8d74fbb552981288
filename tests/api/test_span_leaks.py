"""Requests to a provider, with keys, tokens and prompts; then what is told of them to a collector is searched."""

import json
from dataclasses import dataclass

import httpx
import pytest
from leak_search import PLANTED, WRONG, Seen, exported, found_in

from penstock.domain.errors import ProviderFailed
from penstock.domain.external_forms import ProviderKind
from penstock.domain.external_model import ExternalEntity, ExternalModel
from penstock.domain.model import Task
from penstock.domain.routing import EndpointRoute, EntityRoute
from penstock.domain.secret import SecretRef
from penstock.domain.traffic import Route
from penstock.gateway.observer import Observer
from penstock.gateway.serve import Gateway
from penstock.gateway.trace import Tracing
from penstock.testing.acl import OPEN
from penstock.testing.gateway import fake_gateway
from penstock.testing.provider import FakeProviderAnswer
from penstock.testing.telemetry import Counted, FakeTelemetry
from penstock.web.openai.app import DataPlane

KEY = SecretRef("team", "key")
TOKEN = "dapi-user-token"
PROMPT, SAID = "the prompt of somebody", "what was answered"
WHOLE = json.dumps({"choices": [{"message": {"content": SAID}}], "usage": {"prompt_tokens": 5, "completion_tokens": 7}})
EVENT = json.dumps({"choices": [{"index": 0, "delta": {"content": SAID}}]})
REPEATS = f"Incorrect API key: {PLANTED}"
HEADERS = {"x-key": WRONG, "traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "tracestate": "a=b"}


def answers():
    """An answer, a stream, refusals that repeat the key, and a fault."""
    stream = (f"data: {EVENT}\n\n".encode(), b"data: [DONE]\n\n")
    yield FakeProviderAnswer(200, WHOLE.encode())
    yield FakeProviderAnswer(200, *stream, streaming=True)
    yield FakeProviderAnswer(401, json.dumps({"error": {"message": REPEATS}}).encode())
    yield FakeProviderAnswer(500, REPEATS.encode())
    yield ProviderFailed("It is away.")


@dataclass
class Plane:
    """A data plane before a provider, and what is told of it."""

    gateway: Gateway
    telemetry: FakeTelemetry
    app: DataPlane

    async def ask_all(self):
        """Every kind of request; what the client sees."""
        seen = Seen()
        self.gateway.abroad._provider.will("gpt-4o", *answers())
        body = {"messages": [{"role": "user", "content": PROMPT}]}
        transport = httpx.ASGITransport(app=self.app)
        headers = {"Authorization": f"Bearer {TOKEN}", **HEADERS}
        async with httpx.AsyncClient(transport=transport, base_url="http://penstock", headers=headers) as client:
            for extra in ({}, {"stream": True}, {}, {}, {}, {"messages": PROMPT}, {"temperature": WRONG}):
                seen.answer(await client.post("/serving-endpoints/far/invocations", json={**body, **extra}))
        assert [one.record.status for one in self.telemetry.requests] == [200, 200, 401, 500, 500, 400, 400]
        return seen.texts


@pytest.fixture
def make(clock, parts):
    def made(*, keeps_text):
        telemetry = FakeTelemetry()
        gateway = fake_gateway(clock, Observer(telemetry, Tracing(Counted(), keeps_text=keeps_text)))
        model = ExternalModel("gpt-4o", ProviderKind.OPENAI, Task.CHAT, {}, {"openai_api_key": KEY})
        entity = EntityRoute("it", (), scales_to_zero=False, external=ExternalEntity("it", model, "ann"))
        gateway.table.publish(EndpointRoute("e1", "far", "ann", Task.CHAT, (Route("it", 100),), (entity,), acl=OPEN))
        gateway.abroad._secrets.texts[KEY] = PLANTED
        app = DataPlane(gateway, parts.authenticator, "42", strict=False, max_body_bytes=100_000)
        return Plane(gateway, telemetry, app)

    return made


async def test_no_span_tells_a_key_a_header_a_prompt_or_an_answer(make):
    plane = make(keeps_text=False)
    seen = await plane.ask_all()
    for text in seen:
        assert PLANTED not in found_in(text), text
    for told in await exported(plane.telemetry):
        assert not found_in(told), told
        assert not [word for word in (TOKEN, PROMPT, SAID) if word.encode() in told], told


async def test_texts_are_told_where_settings_ask_and_keys_and_tokens_are_not(make):
    plane = make(keeps_text=True)
    await plane.ask_all()
    told = b"".join(await exported(plane.telemetry))
    assert PROMPT.encode() in told
    assert SAID.encode() in told
    assert PLANTED not in found_in(told)
    assert TOKEN.encode() not in told
