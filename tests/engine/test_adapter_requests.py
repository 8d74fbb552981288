"""Whoever runs the engine says with which adapter a request is computed, and which ones there are."""

import asyncio
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from engine_fakes import FakeDecoder
from engine_http import ASK, NO_END, post, serving
from tiny_adapters import write_adapter, write_base

from penstock_engine.adapter import Adapter
from penstock_engine.deltas import Stack
from penstock_engine.errors import CheckpointError
from penstock_engine.metrics import Metrics
from penstock_engine.service import About, Limits, Task, TextService, read_tokenizer


class Adapted(FakeDecoder):
    """Notes which adapters were asked for. One called `other` was made for another model, `wild` gives no numbers."""

    def __init__(self):
        super().__init__(vocab_size=400, never=NO_END)
        self.asked = []
        self.uses = 0
        self.made = self.stack(Adapter(name, {}, Path("/", name)) for name in ("support", "legal"))

    @property
    def adapters(self):
        return self.made.adapters

    def stack(self, adapters):
        made = Stack({}, {}, 1, {one.name: one for one in adapters})
        if "other" in made.adapters:
            raise CheckpointError("it was made for another model")
        return made

    def use(self, made):
        before, self.made, self.uses = self.made, made, self.uses + 1
        return before

    def step(self, work):
        assert {each.adapter for each in work} <= {"", *self.adapters}
        self.asked += [each.adapter for each in work]
        found = super().step(work)
        return found * np.nan if any(each.adapter == "wild" for each in work) else found


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
        adaptable=decoder,
    )
    async with serving(service, metrics) as opened:
        opened.decoder, opened.loop_of_steps, opened.adapters = decoder, service.loop, service.adapters
        yield opened


@pytest.fixture
def folder(tmp_path):
    write_adapter(tmp_path / "version" / "peft", write_base(tmp_path / "base"))
    return tmp_path / "version"


async def put(client, name, folder, status=200):
    async with client.put(f"/adapters/{name}", json={"folder": str(folder)}) as answer:
        told = await answer.json()
        assert answer.status == status, told
        return told.get("message")


async def delete(client, name, status=200):
    async with client.delete(f"/adapters/{name}") as answer:
        told = await answer.json()
        assert answer.status == status, told
        return told.get("message")


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


async def test_one_is_loaded_while_the_engine_runs_and_dropped_again(client, folder):
    name = "main.default.legal%2F3"
    assert await put(client, name, folder) is None
    found = await post(client, ASK, **{"x-adapter": name})
    assert found["model"] == "main.default.legal/3"
    uses = client.decoder.uses
    await put(client, name, folder)
    assert client.decoder.uses == uses, "it was there already"
    assert (await post(client, ASK, **{"x-adapter": "legal"}))["model"] == "legal"
    for _ in range(2):
        await delete(client, name)
        await post(client, ASK, status=400, **{"x-adapter": name})
    assert (await post(client, ASK, **{"x-adapter": "legal"}))["model"] == "legal"


async def test_what_cannot_be_loaded_says_why_and_changes_nothing(client, folder, tmp_path):
    assert await put(client, "new", tmp_path, status=400) == "adapter_config.json is missing"
    assert await put(client, "other", folder, status=400) == "it was made for another model"
    assert "not finite numbers" in await put(client, "wild", folder, status=400)
    assert await put(client, "new", "here", status=400) == "folder must be the absolute path of an adapter"
    assert "another adapter has the name" in await put(client, "legal", folder, status=409)
    assert sorted(client.decoder.adapters) == ["legal", "support"]
    assert (await post(client, ASK, **{"x-adapter": "legal"}))["model"] == "legal"


async def test_what_is_refused_of_adapters_does_not_count_as_requests(client, folder):
    await put(client, "legal", folder, status=409)
    await put(client, "new", "here", status=400)
    async with client.get("/metrics") as answer:
        assert 'outcome="rejected"' not in await answer.text()
    await post(client, ASK, status=400, **{"x-adapter": "medical"})
    async with client.get("/metrics") as answer:
        assert 'outcome="rejected"} 1.0' in await answer.text()


async def test_one_that_requests_run_with_stays(client, monkeypatch):
    loop, queued = client.loop_of_steps, asyncio.Event()
    between = loop.between

    def noted(make):
        queued.set()
        return between(make)

    monkeypatch.setattr(loop, "between", noted)
    client.decoder.pace()
    answer = asyncio.create_task(post(client, ASK, **{"x-adapter": "legal"}))
    async with asyncio.timeout(20):
        while not client.decoder.entered:  # noqa: ASYNC110 - the step thread knows no events of this loop
            await asyncio.sleep(0.001)
    dropping = asyncio.create_task(delete(client, "legal", status=409))
    await asyncio.wait_for(queued.wait(), 20)
    client.decoder.permits.release(1000)
    assert "requests run with adapter 'legal'" in await dropping
    assert (await answer)["model"] == "legal"
    await delete(client, "legal")


async def test_one_whose_caller_leaves_is_checked_before_the_next_is_added_to_it(client, folder, monkeypatch):
    """Otherwise the next one would bring it back after its check has failed."""
    added, stack, here = asyncio.Event(), client.decoder.stack, asyncio.get_running_loop()

    def noted(adapters):
        made = stack(adapters)
        if "new" in made.adapters:
            here.call_soon_threadsafe(added.set)
        return made

    monkeypatch.setattr(client.decoder, "stack", noted)
    client.decoder.pace()
    first = asyncio.create_task(client.adapters.load("wild", folder))
    async with asyncio.timeout(20):
        while not client.decoder.entered:  # noqa: ASYNC110 - the step thread knows no events of this loop
            await asyncio.sleep(0.001)
    first.cancel()
    second = asyncio.create_task(client.adapters.load("new", folder))
    with suppress(TimeoutError):  # it has the time to go wrong
        await asyncio.wait_for(added.wait(), 0.3)
    assert client.adapters.get("wild") is None, "nobody can choose it before it is checked"
    client.decoder.permits.release(1000)
    await second
    assert first.cancelled()
    assert client.adapters.names == ["legal", "new", "support"]


async def test_once_the_steps_have_ended_nothing_is_called_between_them(client, folder):
    await asyncio.to_thread(client.loop_of_steps.stop)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(client.adapters.load("new", folder), 20)


async def test_one_is_checked_in_blocks_that_nobody_has(client, folder):
    pool = client.loop_of_steps.pool
    held = pool.allocate(pool.free)
    assert "requests hold all KV blocks" in await put(client, "new", folder, status=503)
    pool.release(held)
    await put(client, "new", folder)
    assert pool.free == pool.num_blocks


async def test_another_one_of_the_same_name_finds_no_prefixes_of_the_first(client, folder, tmp_path):
    async def cached():
        found = await post(client, ASK, **{"x-adapter": "new"})
        return found["usage"]["prompt_tokens_details"]["cached_tokens"]

    write_adapter(tmp_path / "second", write_base(tmp_path / "base"), seed=9)
    await put(client, "new", folder)
    assert [await cached(), await cached() > 0] == [0, True]
    await delete(client, "new")
    await put(client, "new", tmp_path / "second")
    assert await cached() == 0


async def test_without_room_there_are_none(open_text, folder):
    async with open_text() as client:
        assert "without --adaptable" in await put(client, "new", folder, status=400)
        found = await post(client, ASK, status=400, **{"x-adapter": "legal"})
        assert found["message"] == "there is no adapter 'legal' here; there are: none"
