"""A real server whose engine is a played vLLM: chosen, measured, asked and ended as any other."""

import asyncio
import json
import sys
from pathlib import Path

import psutil
from stand import Stand
from storm import Storm
from test_adapters_process import register, serve
from test_sleep_and_recovery import QUICK

from penstock.testing.tiny_llama import version_files

MODEL = "main.vllm.tiny"
CHAT = {"messages": [{"role": "user", "content": "What does a penstock feed?"}], "max_tokens": 6}
TRIES = 10


def played(folder):
    """An interpreter that has vLLM, as far as anybody can see."""
    path = folder / "python"
    path.write_text(f"#!{sys.executable}\n{Path(__file__).parents[1].joinpath('contract/played_vllm.py').read_text()}")
    path.chmod(0o755)
    return str(path)


def engines(python):
    """Processes of it that serve; not what keeps them."""
    found = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return [command for command in found if command[1:2] == [python] and "serve" in command]


async def ask(stand, **more):
    """The answer; what is refused because of the load is asked again."""
    url = f"{stand.url}/serving-endpoints/one/invocations"
    for _ in range(TRIES):
        async with stand.session.post(url, json={**CHAT, **more}) as answer:
            status, body = answer.status, await answer.read()
            if status not in (429, 503):
                break
            await asyncio.sleep(int(answer.headers.get("Retry-After", 1)))
    return status, body


async def test_it_is_chosen_measured_asked_and_ends_with_the_server(tmp_path):
    python = played(tmp_path)
    stand = Stand(tmp_path / "s", **QUICK, PENSTOCK_VLLM_PYTHON=python, PENSTOCK_VLLM_ON_CPU="true")
    try:
        storm = Storm(stand, 1)
        await stand.start()
        await register(storm, MODEL, version_files(1))
        await serve(storm, "one", MODEL)
        assert len(engines(python)) == 1

        status, body = await ask(stand)
        assert status == 200, body
        assert json.loads(body)["usage"]["completion_tokens"] == 6
        status, body = await ask(stand, stream=True)
        assert (status, body.count(b'"content":"x"')) == (200, 6)
        assert b": usage" not in body
        assert b'"choices":[]' not in body
        assert body.endswith(b"data: [DONE]\n\n")
        status, body = await ask(stand, functions=[{}])
        assert (status, json.loads(body)["error_code"]) == (400, "BAD_REQUEST")

        await stand.kill()

        async def gone():
            return not engines(python)

        await stand.until(gone, 20, "the engine of a killed server to end")
        await stand.start()
        status, _ = await ask(stand)
        assert status == 200
        assert await stand.stop() == 0
        assert not engines(python)
        told = sorted(stand.ledger().values())
        assert told[:3] == [("completed", 5, 6)] * 3
    finally:
        await stand.close()
