"""Whoever runs the engine says with which adapter a request is computed."""

import pytest
from engine_fakes import FakeDecoder
from engine_http import ASK, NO_END, post, serving

from penstock_engine.metrics import Metrics
from penstock_engine.service import About, Limits, Task, TextService, read_tokenizer


class Adapted(FakeDecoder):
    """Notes which adapters were asked for."""

    def __init__(self):
        super().__init__(vocab_size=400, never=NO_END)
        self.asked = []

    def step(self, work):
        self.asked += [each.adapter for each in work]
        return super().step(work)


@pytest.fixture
async def client(model):
    decoder, metrics = Adapted(), Metrics()
    tokenizer, template = read_tokenizer(model)
    service = TextService(
        About("base", Task.CHAT, "FakeForCausalLM", 5, decoder.context_length),
        decoder=decoder,
        tokenizer=tokenizer,
        template=template,
        metrics=metrics,
        limits=Limits(),
        on_fatal=lambda: None,
        adapters=frozenset({"support", "legal"}),
    )
    async with serving(service, metrics) as opened:
        opened.decoder = decoder
        yield opened


async def test_the_header_chooses_and_the_answer_tells(client):
    found = await post(client, ASK, **{"x-adapter": "legal"})
    assert found["model"] == "legal"
    assert set(client.decoder.asked) == {"legal"}
    client.decoder.asked.clear()
    assert (await post(client, ASK | {"model": "legal"}))["model"] == "base"
    assert set(client.decoder.asked) == {""}


async def test_an_unknown_adapter_is_refused(client):
    found = await post(client, ASK, status=400, **{"x-adapter": "medical"})
    assert found["message"] == "there is no adapter 'medical' here; there are: legal, support"
    assert client.decoder.steps == 0


async def test_adapters_share_no_prefixes(client):
    """Their keys and values differ, though the tokens are the same."""

    async def cached(**headers):
        found = await post(client, ASK, **headers)
        return found["usage"]["prompt_tokens_details"]["cached_tokens"]

    assert await cached() == 0
    assert await cached() > 0
    for adapter in ("legal", "support"):
        assert await cached(**{"x-adapter": adapter}) == 0
        assert await cached(**{"x-adapter": adapter}) > 0
    assert await cached(**{"x-adapter": "legal", "x-namespace": "other"}) == 0
