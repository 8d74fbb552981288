"""vLLM's recipe, relay and client against a real vLLM, for GPUs or for CPUs, where there is one.

PENSTOCK_VLLM_PYTHON names an interpreter that has it. One engine serves all tests but the last ones: it takes most of a
minute to start.
"""

import asyncio
import json
import os

import psutil
import pytest
import pytest_asyncio
from engine_runs import ended, write
from vllm_kit import CHAT, HEAD, PROMPT, Kit, read_model, stream, thinking

from penstock.adapters.clusters.gpus import find_gpus, grouped
from penstock.adapters.engines.client import session_with
from penstock.adapters.engines.vllm import vllm_version
from penstock.control.watch import last_words
from penstock.domain.model import Precision, Task
from penstock.domain.usage import UNTOLD
from penstock.domain.vllm_plan import GIB, Hardware, Wishes
from penstock.testing.tiny_adapter import adapter_files
from penstock.testing.tiny_llama import version_files

REAL = os.environ.get("PENSTOCK_VLLM_PYTHON", "")
START_S = 280
CONTEXT = 512
HI = [{"role": "user", "content": "hi"}]
COMPLETIONS = "/v1/completions"
pytestmark = [
    pytest.mark.skipif(not REAL, reason="PENSTOCK_VLLM_PYTHON names no interpreter that has vLLM"),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(600),
]


async def make(folder, files=None):
    facts, version = await read_model(folder / "model", files), await vllm_version(REAL, "vllm.python")
    gpus = grouped(await find_gpus(), 1)
    hardware = Hardware(1, gpus[0].memory, int(0.8 * gpus[0].memory)) if gpus else Hardware(0, 12 * GIB, 12 * GIB)
    return Kit(folder, REAL, facts, version=version, hardware=hardware, gpus=gpus, wishes=Wishes(8, adapters=2))


async def started(kit):
    device = "gpu0" if kit.hardware.gpus else "cpu"
    return await kit.ready(limit_s=START_S, device=device, spec=kit.spec(room=32))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kit(tmp_path_factory):
    """One that thinks before it answers."""
    made = await make(tmp_path_factory.mktemp("real"), thinking(version_files(head=HEAD)))
    try:
        made.process = await started(made)
        yield made
    finally:
        await made.close()


async def whole(kit, path, body, **named):
    answer = await kit.ask(path, body, **named)
    try:
        return answer.status, json.loads(await answer.whole())
    finally:
        answer.close()


async def events(kit, path, body):
    answer = await kit.ask(path, {**body, "stream": True})
    try:
        return await stream(answer)
    finally:
        answer.close()


async def running(kit):
    async with session_with(kit.address, 10) as session, session.get("/metrics") as answer:
        found = [line for line in (await answer.text()).splitlines() if line.startswith("vllm:num_requests_running")]
    return float(found[0].rpartition(" ")[2])


async def idle(kit):
    async with asyncio.timeout(30):
        while await running(kit):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)


async def test_it_is_taken_by_the_plan_and_measured(kit):
    assert not kit.recipe.refusal(kit.facts, Precision.BF16)
    assert await kit.client.kv_tokens(kit.address) >= 4 * CONTEXT
    told: list[int] = []
    await kit.client.measure(kit.address, Task.CHAT, PROMPT, 12, told.append)
    assert (told[0], told[-1]) == (1, 12)
    assert await kit.cluster.memory(kit.process) > 0
    assert await kit.client.cancel(kit.address, "nobody") is UNTOLD


async def test_thoughts_come_under_our_name(kit):
    status, told = await whole(kit, CHAT, {"messages": HI, "max_tokens": 8, "ignore_eos": True})
    message = told["choices"][0]["message"]
    assert (status, told["usage"]["completion_tokens"]) == (200, 8)
    assert message["reasoning_content"]
    assert message["content"] is None
    assert "reasoning" not in message
    said = await events(kit, CHAT, {"messages": HI, "max_tokens": 8, "ignore_eos": True})
    assert b'"delta":{"content":"","reasoning_content":' in said
    assert b'"reasoning":' not in said


async def test_streams_count_as_they_go_and_tell_their_usage_to_us_alone_unless_asked(kit):
    body = {"prompt": "abc", "max_tokens": 6, "ignore_eos": True}
    said = await events(kit, COMPLETIONS, body)
    assert [f'"completion_tokens":{number}'.encode() in said for number in (1, 3, 6)] == [True] * 3
    assert b'"choices":[]' not in said
    assert json.loads(said.rpartition(b": usage ")[2].split(b"\n")[0])["completion_tokens"] == 6
    assert said.endswith(b"data: [DONE]\n\n")
    said = await events(kit, COMPLETIONS, {**body, "stream_options": {"include_usage": True}})
    assert b'"choices":[]' in said
    assert b": usage" not in said


@pytest.mark.parametrize("prompt", ["abc", [97, 98, 99], ["a", "abc"]])
async def test_a_completion_without_an_end_fills_the_context(kit, prompt):
    status, told = await whole(kit, COMPLETIONS, {"prompt": prompt, "ignore_eos": True})
    assert status == 200
    assert told["usage"]["completion_tokens"] == (CONTEXT - 3) * len(told["choices"])


@pytest.mark.parametrize(
    ("path", "body", "refusal", "what"),
    [
        (CHAT, {"messages": []}, (400, "BAD_REQUEST"), "message"),
        (CHAT, {"messages": HI, "max_tokens": CONTEXT + 1}, (400, "BAD_REQUEST"), "max_tokens"),
        (COMPLETIONS, {"prompt": "a" * (CONTEXT + 1)}, (400, "BAD_REQUEST"), "context length"),
        (COMPLETIONS, {"prompt": "a", "max_tokens": 1, "suffix": "b"}, (400, "BAD_REQUEST"), "suffix"),
        (
            CHAT,
            {"messages": HI, "tools": [{"type": "function", "function": {"name": "f"}}]},
            (400, "BAD_REQUEST"),
            "tool",
        ),
        ("/v1/embeddings", {"input": "a"}, (404, "RESOURCE_DOES_NOT_EXIST"), ""),
    ],
)
async def test_what_it_refuses_is_refused_in_our_shape(kit, path, body, refusal, what):
    found, told = await whole(kit, path, body)
    assert (found, told["error_code"]) == refusal
    assert what in told["message"]
    assert set(told) == {"error_code", "message"}


async def test_a_caller_that_hangs_up_ends_its_request(kit):
    body = {"prompt": "a", "max_tokens": CONTEXT - 1, "ignore_eos": True}
    answer = await kit.ask(COMPLETIONS, {**body, "stream": True})
    assert b'"completion_tokens":' in await answer.chunk()
    answer.close()
    await idle(kit)
    asking = asyncio.create_task(kit.ask(COMPLETIONS, body))
    async with asyncio.timeout(30):
        while not await running(kit):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await idle(kit)


async def test_adapters_are_loaded_chosen_and_dropped_while_it_runs(kit):
    folder = write(kit.folder / "adapter", adapter_files(10, "main.a.b/1", head=HEAD))
    for _ in range(2):
        assert await kit.client.load_adapter(kit.address, "main.a.legal/1", folder) == ""
    body = {"prompt": "abc", "max_tokens": 12, "temperature": 0, "ignore_eos": True}
    base, adapted, again = [
        (await whole(kit, COMPLETIONS, body, adapter=name))[1]["choices"][0]["text"]
        for name in ("", "main.a.legal/1", "")
    ]
    assert base == again != adapted
    for _ in range(2):
        await kit.client.drop_adapter(kit.address, "main.a.legal/1")
    assert (await whole(kit, COMPLETIONS, body, adapter="main.a.legal/1"))[0] == 404
    assert "No adapter found" in await kit.client.load_adapter(kit.address, "main.a.odd/1", kit.folder / "nothing")
    large = adapter_files(11, "main.a.b/1", head=HEAD, rank=32)
    why = await kit.client.load_adapter(kit.address, "main.a.large/1", write(kit.folder / "large", large))
    assert why == "LoRA rank 32 is greater than max_lora_rank 16."


async def test_what_runs_is_answered_to_its_end_when_it_is_stopped(kit):
    answer = await kit.ask(COMPLETIONS, {"prompt": "a", "max_tokens": 400, "stream": True, "ignore_eos": True})
    said = await answer.chunk()
    stopping = asyncio.create_task(kit.cluster.stop(kit.process, 60))
    said += await stream(answer)
    answer.close()
    await stopping
    assert b'"completion_tokens":400' in said
    assert said.endswith(b"data: [DONE]\n\n")
    assert not await kit.client.healthy(kit.address)


async def test_one_that_does_not_think_holds_answers_to_a_form_and_says_why_its_worker_died(tmp_path):
    kit = await make(tmp_path)
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"enum": ["first", "second"]}}}
    try:
        process = await started(kit)
        asked = {"prompt": "a", "max_tokens": 100, "seed": 1, "response_format": form}
        said = (await whole(kit, COMPLETIONS, asked))[1]["choices"][0]["text"].strip()
        assert said
        assert any(json.dumps(word).startswith(said) for word in ("first", "second")), said

        computes = psutil.Process(process.pid).children(recursive=True)[-1]
        answer = await kit.ask(COMPLETIONS, {"prompt": "a", "max_tokens": 500, "stream": True, "ignore_eos": True})
        said = await answer.chunk()
        computes.kill()
        said += await stream(answer)
        answer.close()
        assert b"[DONE]" not in said
        told = json.loads(said.split(b"data: ")[-1])
        assert (told["error_code"], told["usage"]["completion_tokens"] > 0) == ("INTERNAL_ERROR", True)
        await ended(kit.cluster, process)
        assert "Error: " in last_words(await kit.log())
    finally:
        await kit.close()
