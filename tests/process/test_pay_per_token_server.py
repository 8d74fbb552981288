"""A real server with a real engine: a foundation model comes from a folder, is asked, and goes."""

import asyncio
import os
import sqlite3
import subprocess

from stand import PENSTOCK, Stand

from penstock.testing.tiny_llama import version_files

ENDPOINT, MODEL = "databricks-meta-llama-3-1-8b-instruct", "meta_llama_v3_1_8b_instruct"
ROOT = "/api/2.0/serving-endpoints"
BODY = {"messages": [{"role": "user", "content": "one"}], "max_tokens": 8}


def checkpoint(folder):
    folder.mkdir()
    for path, content in version_files().items():
        if path != "MLmodel":
            (folder / path.rpartition("/")[2]).write_bytes(content)
    return folder


async def models(stand, *words):
    line = [PENSTOCK, "models", *words, "--data-dir", str(stand.data)]
    done = await asyncio.to_thread(subprocess.run, line, capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 0, done.stdout + done.stderr


async def ask(stand, name):
    async with stand.session.post(f"{stand.url}/serving-endpoints/{name}/invocations", json=BODY) as answer:
        return answer.status, await answer.json()


async def test_a_foundation_model_is_pulled_asked_and_removed(tmp_path):
    stand = Stand(tmp_path, PENSTOCK_SERVING_PROFILE_BUDGET_S="1")

    async def is_there():
        async with stand.session.get(stand.url + ROOT) as answer:
            return [one["name"] for one in (await answer.json())["endpoints"]] == [ENDPOINT]

    async def answers():
        # It is listed a moment before the data plane knows it.
        return (await ask(stand, ENDPOINT))[0] == 200

    async def is_gone():
        return (await ask(stand, ENDPOINT))[0] == 404

    try:
        await models(stand, "pull", MODEL, "--from", str(checkpoint(tmp_path / "mine")))
        await stand.start()
        await stand.until(is_there, 30, "the endpoint")
        assert not stand.engines()
        await stand.until(answers, 60, "the first answer")
        status, told = await ask(stand, f"system.ai.{MODEL}")
        assert (status, told.get("object")) == (200, "chat.completion"), told
        for name, words in (
            ("databricks-dbrx-instruct", "was retired on 2025-04-30. Use 'databricks-meta-llama-3-3-70b-instruct'"),
            ("databricks-bge-large-en", "`penstock models pull bge_large_en_v1_5` brings them"),
        ):
            status, told = await ask(stand, name)
            assert (status, told["error_code"]) == (404, "ENDPOINT_NOT_FOUND")
            assert words in told["message"]
        await models(stand, "remove", MODEL)
        await stand.until(is_gone, 30, "the model to go")
        assert await stand.stop() == 0
        with sqlite3.connect(stand.data / "penstock.db") as database:
            asked = "SELECT endpoint_name, priority, outcome FROM requests ORDER BY received_at LIMIT 2"
            assert database.execute(asked).fetchall() == [(ENDPOINT, "shared", "completed")] * 2
    finally:
        await stand.close()
