"""The CPU engine's recipe and the client of engines, on a real engine with a model of a few kilobytes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from engine_runs import ended, ready, write

from penstock.adapters.clusters.local import LocalCluster
from penstock.adapters.engines.client import HttpEngineClient
from penstock.adapters.engines.cpu import CpuRecipe
from penstock.adapters.engines.gauge import CpuGauge
from penstock.adapters.engines.relay import EngineRelay
from penstock.adapters.models.reader import FolderReader
from penstock.domain.errors import EngineFailed
from penstock.domain.model import Precision, Task
from penstock.ports.engine import EngineSpec
from penstock.testing.tiny_adapter import adapter_files
from penstock.testing.tiny_llama import version_files

PROMPT = [7, 8, 9, 10] * 8


@pytest.fixture
async def engine(tmp_path: Path):
    model = write(tmp_path / "model", version_files())
    facts = await FolderReader().read(model)
    cluster = LocalCluster(tmp_path / "run", memory_fraction=0.8)
    recipe = CpuRecipe(max_queue=4)
    needs = recipe.needs(facts, Precision.INT8)
    (tmp_path / "cache").mkdir()
    spec = EngineSpec(model, tmp_path / "cache", facts, "tiny", Precision.INT8, needs)
    yield cluster, recipe, spec, tmp_path
    await cluster.close()


async def test_a_version_is_built_served_measured_and_stopped(engine):
    cluster, recipe, spec, folder = engine
    assert not recipe.is_built(spec)
    assert await ended(cluster, await cluster.start(recipe.build(spec, folder / "build.log"))) == 0
    assert "built" in await cluster.tail(folder / "build.log", 1000)
    recipe.mark_built(spec)
    assert recipe.is_built(spec)

    client = HttpEngineClient()
    address = cluster.address("r1")
    assert not await client.healthy(address)
    process = await cluster.start(recipe.serve(spec, address, folder / "server.log"))
    await ready(cluster, client, process, address, folder / "server.log")
    assert await client.kv_tokens(address) == spec.needs.kv_tokens
    told: list[int] = []
    await client.measure(address, Task.CHAT, PROMPT, 12, told.append)
    assert told == sorted(told)
    assert told[-1] == 12
    assert await client.cancel(address, "nobody") is None
    with pytest.raises(EngineFailed, match="400"):
        await client.measure(address, Task.CHAT, [10**6], 1, told.append)
    assert 0 < await cluster.memory(process) <= spec.needs.memory
    await cluster.stop(process, 20)
    assert not await client.healthy(address)
    with pytest.raises(EngineFailed, match="broke off"):
        await client.measure(address, Task.CHAT, PROMPT, 1, told.append)
    with pytest.raises(EngineFailed, match="broke off"):
        await client.kv_tokens(address)
    assert await client.cancel(address, "nobody") is None


async def test_adapters_come_and_go_while_it_serves(engine):
    cluster, recipe, spec, folder = engine
    assert recipe.adapts(spec.facts)
    for name, files in (("good", adapter_files(1, "tiny")), ("bad", {"adapter_config.json": b"{}"})):
        write(folder / name, files)
    client, address = HttpEngineClient(), cluster.address("r1")
    launch = recipe.serve(replace(spec, room=32), address, folder / "server.log")
    process = await cluster.start(launch)
    await ready(cluster, client, process, address, folder / "server.log")
    odd = "main.default.grün/1"
    for _ in range(2):
        assert await client.load_adapter(address, odd, folder / "good") == ""
    assert "adapter_model.safetensors" in await client.load_adapter(address, "bad", folder / "bad")
    with pytest.raises(EngineFailed, match=r"409.*another adapter has the name"):
        await client.load_adapter(address, odd, folder / "bad")
    relay = EngineRelay()
    for adapter, status in ((odd, 200), ("", 200), ("bad", 400)):
        body = b'{"prompt": [7, 8, 9], "max_tokens": 2}'
        answer = await relay.open(address, "/v1/completions", body, "id", namespace="n", adapter=adapter)
        told = json.loads(await answer.whole())
        assert (answer.status, told.get("model", "")) == (status, adapter or "tiny" if status == 200 else "")
        answer.close()
    await relay.close()
    for _ in range(2):
        await client.drop_adapter(address, odd)
    await cluster.stop(process, 20)
    for call in (client.load_adapter(address, odd, folder), client.drop_adapter(address, odd)):
        with pytest.raises(EngineFailed, match="broke off"):
            await call


async def test_a_build_that_cannot_work_ends_with_its_reason(engine):
    cluster, recipe, spec, folder = engine
    (spec.model / "model" / "config.json").write_text('{"model_type": "odd"}')
    assert await ended(cluster, await cluster.start(recipe.build(spec, folder / "build.log"))) == 1
    assert "odd" in (await cluster.tail(folder / "build.log", 1000)).splitlines()[-1]


def test_bigger_precision_and_longer_context_need_more(engine):
    _, recipe, spec, _ = engine
    small = recipe.needs(spec.facts, Precision.INT8)
    assert recipe.needs(spec.facts, Precision.BF16).memory > small.memory
    assert small.kv_tokens >= spec.facts.context_length


async def test_the_gauge_measures_once_and_keeps_it(tmp_path):
    path = tmp_path / "speed.json"
    first = await CpuGauge(path, "this machine").speed()
    assert first.operations_per_s > 1e9
    assert first.bytes_per_s > 1e8
    assert await CpuGauge(path, "this machine").speed() == first
    path.write_text(path.read_text().replace("this machine", "another"))
    again = CpuGauge(path, "this machine")
    assert await again.speed() == await again.speed()
