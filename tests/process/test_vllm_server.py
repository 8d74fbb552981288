"""A real server whose engine is vLLM, a played one or a real one: chosen, measured, asked and ended as any other.

PENSTOCK_VLLM_PYTHON names an interpreter that has vLLM, built for GPUs or, where there are none, for CPUs.
"""

import asyncio
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from stand import Stand
from storm import ENDPOINTS, Storm
from test_adapters_process import register, serve
from test_sleep_and_recovery import QUICK
from tiny_bert import HIDDEN, bert_files

from penstock.adapters.clusters.gpus import find_gpus
from penstock.testing.tiny_adapter import adapter_files
from penstock.testing.tiny_llama import version_files

REAL = os.environ.get("PENSTOCK_VLLM_PYTHON", "")
MODEL = "main.vllm.tiny"
CHAT = {"messages": [{"role": "user", "content": "What does a penstock feed?"}], "max_tokens": 6, "ignore_eos": True}
HEAD = 64
START_S = 200
real = pytest.mark.skipif(not REAL, reason="PENSTOCK_VLLM_PYTHON names no interpreter that has vLLM")


@dataclass
class Site:
    """A server that has vLLM, and a client of its API."""

    stand: Stand
    storm: Storm

    def engines(self):
        """Processes of vLLM that serve for it; not what keeps them."""
        lines = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
        return [
            line
            for line in lines
            if "vllm.entrypoints" in line and str(self.stand.data) in line and "leash" not in line
        ]

    async def ask(self, name="one", **body):
        """Status and answer; what is refused because of the load, or until it is started, is asked again."""
        url, end = f"{self.stand.url}/serving-endpoints/{name}/invocations", time.monotonic() + START_S
        while True:
            async with self.stand.session.post(url, json=body) as answer:
                status, said = answer.status, await answer.read()
            if status not in (429, 503) or time.monotonic() > end:
                return status, said
            await asyncio.sleep(int(answer.headers.get("Retry-After", 1)))


@pytest.fixture
async def site(tmp_path, request):
    python = REAL if request.param == "real" else played(tmp_path)
    more = {"PENSTOCK_VLLM_PYTHON": python, "PENSTOCK_VLLM_ADAPTERS": "2"}
    if python != REAL or not await find_gpus():
        more["PENSTOCK_VLLM_ON_CPU"] = "true"
    stand = Stand(tmp_path / "s", **QUICK, **more)
    try:
        await stand.start()
        yield Site(stand, Storm(stand, 1))
    finally:
        await stand.close()


def played(folder):
    """An interpreter that has vLLM, as far as anybody can see."""
    path = folder / "python"
    path.write_text(f"#!{sys.executable}\n{Path(__file__).parents[1].joinpath('contract/played_vllm.py').read_text()}")
    path.chmod(0o755)
    return str(path)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("site", ["played", pytest.param("real", marks=real)], indirect=True)
async def test_it_is_chosen_measured_asked_and_ends_with_the_server(site):
    stand = site.stand
    await register(site.storm, MODEL, version_files(1, head=HEAD))
    await serve(site.storm, "one", MODEL)
    assert len(site.engines()) == 1

    status, body = await site.ask(**CHAT)
    assert status == 200, body
    used = json.loads(body)["usage"]
    assert used["completion_tokens"] == 6
    status, body = await site.ask(**CHAT, stream=True)
    assert (status, body.count(b'"delta":{"content":')) >= (200, 1)
    assert b": usage" not in body
    assert b'"choices":[]' not in body
    assert body.endswith(b"data: [DONE]\n\n")
    status, body = await site.ask(**CHAT, functions=[{}])
    assert (status, json.loads(body)["error_code"]) == (400, "BAD_REQUEST")

    await stand.kill()

    async def gone():
        return not site.engines()

    await stand.until(gone, 20, "the engine of a killed server to end")
    await stand.start()
    status, body = await site.ask(**CHAT)
    assert status == 200, body
    leaving = asyncio.create_task(site.ask(**CHAT | {"max_tokens": 400}))
    await asyncio.sleep(0.3)
    leaving.cancel()
    assert await stand.stop() == 0
    assert not site.engines()
    told = [row for row in stand.ledger().values() if row[0] == "completed"]
    assert told == [("completed", used["prompt_tokens"], 6)] * 3
    [(_, prompt, answer)] = [row for row in stand.ledger().values() if row[0] == "cancelled"]
    assert prompt == pytest.approx(used["prompt_tokens"], abs=2), "guessed: who hangs up has used something"
    assert 0 < answer <= 400


@real
@pytest.mark.timeout(900)
@pytest.mark.parametrize("site", ["real"], indirect=True)
async def test_a_real_one_embeds_texts_and_serves_a_model_with_its_adapter(site):
    await register(site.storm, "main.vllm.bert", bert_files(1))
    await serve(site.storm, "vectors", "main.vllm.bert")
    status, body = await site.ask("vectors", input=["a penstock", "feeds", "a penstock"])
    assert status == 200, body
    first, second, third = (one["embedding"] for one in json.loads(body)["data"])
    assert len(first) == HIDDEN
    assert first == pytest.approx(third, abs=1e-2)
    assert first != pytest.approx(second, abs=1e-2)
    status, told = await site.storm.call("DELETE", f"{ENDPOINTS}/vectors")
    assert status == 200, told

    await register(site.storm, MODEL, version_files(1, head=HEAD))
    await register(site.storm, "main.vllm.legal", adapter_files(10, f"{MODEL}/1", head=HEAD))
    await serve(site.storm, "legal", "main.vllm.legal")
    await serve(site.storm, "one", MODEL)
    said = {}
    for name in ("one", "legal"):
        status, body = await site.ask(name, **CHAT, temperature=0, logprobs=True)
        assert status == 200, body
        said[name] = [one["logprob"] for one in json.loads(body)["choices"][0]["logprobs"]["content"]]
    assert said["one"] != said["legal"]
    assert await site.stand.stop() == 0
    assert not site.engines()
    assert {row[0] for row in site.stand.ledger().values()} == {"completed"}
