"""vLLM's recipe, relay and client, against a vLLM that is played; test_vllm_real.py has a real one."""

import asyncio
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from engine_runs import ended, ready, write
from vllm_kit import CHAT, PROMPT, Kit, read_model, stream, thinking

from penstock.adapters.clusters.sleeping import SleepingCluster
from penstock.adapters.engines import vllm_address
from penstock.adapters.engines.vllm import vllm_version
from penstock.adapters.engines.vllm_sleep import VllmSleeper
from penstock.control.watch import last_words
from penstock.domain.errors import EngineFailed, InvalidParameter, InvalidRequest
from penstock.domain.model import Precision, Task
from penstock.domain.usage import UNTOLD
from penstock.domain.vllm_plan import GIB, Hardware, Wishes
from penstock.gateway.tail import Tail
from penstock.testing.tiny_adapter import adapter_files
from penstock.testing.tiny_llama import version_files


@pytest.fixture
def python(tmp_path):
    """An interpreter in an environment of its own, as far as anybody can see."""
    path = tmp_path / "bin" / "python"
    path.parent.mkdir()
    played = Path(__file__).with_name("played_vllm.py")
    path.write_text(f"#!{sys.executable}\n{played.read_text()}")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
async def kit(tmp_path, python):
    made = Kit(tmp_path, python, await read_model(tmp_path / "model"))
    yield made
    await made.close()


async def test_a_version_is_checked_served_measured_and_stopped(kit):
    spec = kit.spec()
    assert not kit.recipe.is_built(spec)
    assert await ended(kit.cluster, await kit.cluster.start(kit.recipe.build(spec, kit.folder / "build.log"))) == 0
    assert "0.33.0" in await kit.cluster.tail(kit.folder / "build.log", 1000)
    kit.recipe.mark_built(spec)
    assert kit.recipe.is_built(spec)
    assert not kit.recipe.is_built(kit.spec(precision=Precision.FP32))

    process = await kit.ready()
    assert await kit.client.kv_tokens(kit.address) == 256 * 16
    told: list[int] = []
    await kit.client.measure(kit.address, Task.CHAT, PROMPT, 12, told.append)
    assert (told[0], told[-1]) == (1, 12)
    assert await kit.client.cancel(kit.address, "nobody") is UNTOLD
    assert await kit.cluster.memory(process) > 0
    await kit.cluster.stop(process, 20)
    assert not await kit.client.healthy(kit.address)
    with pytest.raises(EngineFailed, match="broke off"):
        await kit.client.kv_tokens(kit.address)


async def test_it_gets_its_device_its_files_and_an_environment_of_its_own(kit, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", "") + ":/ours")
    await kit.ready()
    told = await kit.told()
    given = told["flags"]
    assert given["model"] == str(kit.folder / "model" / "model")
    assert given["tokenizer"] == str(kit.folder / "model" / "components" / "tokenizer")
    assert given["served_model_name"] == "main.a.b/1"
    assert given["max_model_len"] == kit.facts.context_length
    assert (given["scheduling_policy"], given["tensor_parallel_size"]) == ("priority", 1)
    assert told["environment"] == {
        "CUDA_VISIBLE_DEVICES": "3",
        "PYTHONPATH": None,
        "VLLM_CACHE_ROOT": str(kit.folder / "cache" / "vllm"),
        "HF_HUB_OFFLINE": "1",
    }


async def test_on_a_cpu_it_is_told_how_much_memory_and_sees_no_gpu(tmp_path, python):
    facts = await read_model(tmp_path / "model")
    kit = Kit(tmp_path, python, facts, hardware=Hardware(0, 16 * GIB, 8 * GIB), gpus=(), wishes=Wishes(8))
    try:
        await kit.ready(device="cpu")
        told = await kit.told()
    finally:
        await kit.close()
    assert told["flags"]["tensor_parallel_size"] is None
    assert told["flags"]["kv_cache_memory_bytes"] == 8 * 512 * facts.shape.kv_bytes_per_token


async def test_a_request_has_our_words_for_priority_and_namespace_and_none_of_its_operators(kit):
    await kit.ready()
    body = {
        "model": "an-endpoint",
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 3,
        "priority": -9,
        "cache_salt": "of somebody else",
        "chat_template": "{{ 1 }}",
        "kv_transfer_params": {"a": 1},
        "user": "u",
    }
    first = await kit.ask(CHAT, body, patience_s=0.0)
    assert first.status == 200
    assert json.loads(await first.whole())["usage"]["completion_tokens"] == 3
    first.close()
    second = await kit.ask(CHAT, body, patience_s=5.0)
    await second.whole()
    second.close()
    one, two = (await kit.told())["seen"]
    assert set(one) == {"messages", "max_tokens", "priority", "cache_salt", "request_id"}
    assert (one["cache_salt"], one["request_id"]) == ("e1", "req-1")
    assert two["priority"] - one["priority"] > 4000  # milliseconds: whoever waits patiently is due later


async def test_completions_may_fill_the_context_and_embeddings_take_their_instruction(kit):
    await kit.ready()
    for prompt in ("abc", ["abcd", "ab"], [7, 7], [[7, 7], [7]]):
        (await kit.ask("/v1/completions", {"prompt": prompt})).close()
    (
        await kit.ask("/v1/embeddings", {"input": ["a", "b"], "instruction": "Find:", "encoding_format": "base64"})
    ).close()
    async with asyncio.timeout(20):
        while len(seen := (await kit.told())["seen"]) < 5:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)
    # It would end each after 16 tokens, and is told what the longest prompt leaves.
    assert [one["max_tokens"] for one in seen[:4]] == [509, 508, 510, 510]
    assert seen[4]["input"] == ["Find: a", "Find: b"]
    assert "cache_salt" not in seen[4]
    for refused in ({"input": [1, 2], "instruction": "x"}, {"input": "a", "dimensions": 3}):
        with pytest.raises(InvalidRequest, match="parameter"):
            await kit.ask("/v1/embeddings", refused)


async def test_a_stream_counts_as_it_goes_and_tells_its_usage_to_us_alone_unless_asked(kit):
    await kit.ready()
    body = {"prompt": "a", "max_tokens": 4, "stream": True}
    answer = await kit.ask("/v1/completions", body)
    said = await stream(answer)
    answer.close()
    assert said.count(b'"text":"x"') == 4
    assert b'"choices":[]' not in said
    assert said.endswith(b"\n\n: usage " + said.rpartition(b": usage ")[2])
    assert json.loads(said.rpartition(b": usage ")[2].split(b"\n")[0])["prompt_tokens_details"] == {"cached_tokens": 3}
    assert said.endswith(b"data: [DONE]\n\n")

    answer = await kit.ask("/v1/completions", {**body, "stream_options": {"include_usage": True}})
    said = await stream(answer)
    answer.close()
    assert b'"choices":[]' in said
    assert b": usage" not in said


async def test_a_stream_that_breaks_off_ends_with_an_error_and_not_as_if_it_were_whole(kit):
    await kit.ready()
    answer = await kit.ask("/v1/completions", {"prompt": "a", "max_tokens": 2, "stream": True, "seed": 666})
    said = await stream(answer)
    answer.close()
    assert b"[DONE]" not in said
    told = json.loads(said.split(b"data: ")[-1])
    assert (told["error_code"], told["message"]) == ("INTERNAL_ERROR", "EngineCore died")
    tail = Tail()
    tail.feed(b"data: " + said.split(b"data: ")[-1])
    assert tail.broken()
    assert tail.usage().completion_tokens == 2


async def test_a_measured_request_that_breaks_off_fails_with_what_the_engine_says(kit):
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        said = b'data: {"id":"a","usage":{"completion_tokens":3}}\n\n'
        said += b'data: {"error":{"message":"Core died","code":500}}\n\n'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(said), said))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    told: list[int] = []
    for place in (address, vllm_address.at(address)):
        with pytest.raises(EngineFailed, match="The engine failed: Core died"):
            await kit.client.measure(place, Task.CHAT, PROMPT, 12, told.append)
    assert told == [3, 3]
    server.close()
    await server.wait_closed()


async def test_thoughts_are_split_from_the_answer_and_have_our_name(tmp_path, python):
    facts = await read_model(tmp_path / "model", thinking(version_files()))
    kit = Kit(tmp_path, python, facts)
    body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}
    try:
        await kit.ready()
        assert (await kit.told())["flags"]["reasoning_parser"] == "deepseek_r1"
        answer = await kit.ask(CHAT, body)
        message = json.loads(await answer.whole())["choices"][0]["message"]
        answer.close()
        answer = await kit.ask(CHAT, {**body, "stream": True})
        said = await stream(answer)
        answer.close()
    finally:
        await kit.close()
    assert message == {"role": "assistant", "content": "xx", "reasoning_content": "tt"}
    deltas = [json.loads(event.removeprefix(b"data: "))["choices"][0]["delta"] for event in said.split(b"\n\n")[:-2]]
    assert deltas == [{"content": "", "reasoning_content": "t"}] * 2 + [{"content": "x"}] * 2


async def test_what_vllm_refuses_is_refused_in_our_shape(kit):
    await kit.ready()
    answer = await kit.ask("/v1/completions", {"prompt": "a", "suffix": "b"})
    assert (answer.status, answer.content_type) == (400, b"application/json")
    assert json.loads(await answer.whole()) == {
        "error_code": "BAD_REQUEST",
        "message": "suffix is not currently supported",
    }
    answer.close()
    for old in ({"functions": [{}]}, {"best_of": 3}):
        with pytest.raises(InvalidRequest, match="is not supported"):
            await kit.ask("/v1/completions", {"prompt": "a", **old})


async def test_a_caller_that_hangs_up_ends_its_request(kit):
    await kit.ready()
    answer = await kit.ask("/v1/completions", {"prompt": "a", "max_tokens": 10**6, "stream": True})
    assert b'"completion_tokens":1' in await answer.chunk()
    assert (await kit.told())["running"] == 1
    answer.close()
    async with asyncio.timeout(30):
        while (told := await kit.told())["running"]:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
    assert told["aborted"] == 1


async def test_adapters_are_loaded_chosen_and_dropped_while_it_runs(kit):
    await kit.ready(spec=kit.spec(room=32))
    assert (await kit.told())["flags"]["max_loras"] == 2
    folder = kit.folder / "adapter"
    write(folder / "peft", adapter_files(1, "main.a.b/1"))
    for _ in range(2):
        assert await kit.client.load_adapter(kit.address, "main.a.legal/1", folder) == ""
    why = await kit.client.load_adapter(kit.address, "main.a.odd/1", kit.folder / "nothing")
    assert why.startswith("No adapter found for")
    config = folder / "peft" / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "r": 32}))
    why = await kit.client.load_adapter(kit.address, "main.a.large/1", folder)
    assert why == "LoRA rank 32 is greater than max_lora_rank 16."
    body = {"prompt": "a", "max_tokens": 1}
    answer = await kit.ask("/v1/completions", body, adapter="main.a.legal/1")
    await answer.whole()
    answer.close()
    assert (await kit.told())["seen"][0]["model"] == "main.a.legal/1"
    for _ in range(2):
        await kit.client.drop_adapter(kit.address, "main.a.legal/1")
    answer = await kit.ask("/v1/completions", body, adapter="main.a.legal/1")
    assert answer.status == 404
    answer.close()


async def test_without_room_for_adapters_none_is_let_in(kit):
    assert kit.recipe.adapts(kit.facts)
    await kit.ready()
    assert (await kit.told())["flags"]["enable_lora"] is False


async def test_an_engine_that_does_not_start_says_why_in_its_last_words(kit):
    process = await kit.start(kit.spec(environment=(("PLAYED_FAILS", "1"),)))
    assert await ended(kit.cluster, process) == 1
    said = last_words(await kit.log())
    assert said == "ValueError: Free memory on device cuda:0 (3.2/79.1 GiB)"


async def test_it_ends_with_the_server_that_started_it(kit):
    process = await kit.ready()
    kit.cluster._children[process.pid][1].stdin.close()  # as when the server is killed
    await ended(kit.cluster, process)
    assert not await kit.client.healthy(kit.address)


async def test_other_engines_are_asked_as_they_were(kit):
    heads = []

    async def serve(reader, writer):
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 400 Bad\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nno")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    kit.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    answer = await kit.ask(CHAT, {"functions": [1]}, adapter="a/1", patience_s=2.0)
    assert (answer.status, answer.content_type, await answer.whole()) == (400, b"text/plain", b"no")
    answer.close()
    await kit.relay.close()
    server.close()
    await server.wait_closed()
    assert b"x-adapter: a/1" in heads[0]
    assert b"x-patience: 2.000" in heads[0]


async def test_an_interpreter_without_vllm_is_told_by_its_setting(python, tmp_path):
    assert await vllm_version(python, "vllm.python") == "0.33.0"
    with pytest.raises(InvalidParameter, match=r"'vllm.python'.*this Python has no vLLM"):
        await vllm_version(sys.executable, "vllm.python")
    with pytest.raises(InvalidParameter, match="cannot be run"):
        await vllm_version(str(tmp_path / "nothing"), "vllm.older_python")


async def test_it_sleeps_when_it_is_stopped_and_is_woken_as_another_replica(kit):
    cluster = SleepingCluster(kit.cluster, VllmSleeper(), most=1)
    spec, addresses = kit.spec(), [kit.recipe.address(kit.spec(), kit.cluster.address(name)) for name in ("r1", "r2")]
    launches = [replace(kit.recipe.serve(spec, one, kit.folder / "server.log"), device="gpu0") for one in addresses]
    process = await cluster.start(launches[0])
    await ready(cluster, kit.client, process, addresses[0], kit.folder / "server.log")
    await cluster.stop(process, 30)
    assert await cluster.exit_code(process) == 0
    assert await cluster.start(launches[1]) == process
    assert not await kit.client.healthy(addresses[0])
    assert await kit.client.healthy(addresses[1])
    kit.address = addresses[1]
    assert (await kit.told())["slept"] == 1
    answer = await kit.ask("/v1/completions", {"prompt": "a", "max_tokens": 1})
    assert answer.status == 200
    answer.close()
