"""A real server with a real engine: a model and its LoRA adapters, each with an endpoint of its own, in one process."""

import asyncio
import subprocess
import sys
from contextlib import asynccontextmanager

import aiohttp
from stand import Stand
from storm import ENDPOINTS, LEGACY, Storm
from test_sleep_and_recovery import QUICK

from penstock.testing.tiny_adapter import adapter_files
from penstock.testing.tiny_llama import version_files

BASE = "main.lora.base"
MODEL = version_files(1)
ADAPTERS = {name: adapter_files(seed, f"{BASE}/1") for seed, name in enumerate(("legal", "medical"), 10)}
ASK = {"messages": [{"role": "user", "content": "What does a penstock feed?"}], "max_tokens": 12, "temperature": 0}


async def register(storm, model, files):
    """The next version of a model."""
    await storm.insist("POST", f"{LEGACY}/registered-models/create", {"name": model})
    status, told = await storm.call("POST", f"{LEGACY}/model-versions/create", {"name": model, "source": "here"})
    assert status == 200, told
    number = told["model_version"]["version"]
    for path, content in files.items():
        place = f"/Models/{model.replace('.', '/')}/{number}/{path}"
        _, signed = await storm.insist("POST", "/api/2.0/fs/create-upload-url", {"path": place})
        async with aiohttp.request("PUT", signed["url"], data=content) as put:
            assert put.status in (200, 201, 204), await put.text()
    name = {"name": model, "version": number}
    status, told = await storm.insist("POST", f"{LEGACY}/model-versions/finalize", name)
    assert (status, told["model_version"]["status"]) == (200, "READY"), told


async def serve(storm, name, model):
    """An endpoint, ready."""
    band = {"min_provisioned_throughput": 0, "max_provisioned_throughput": 1000}
    entity = {"entity_name": model, "entity_version": "1", **band}
    body = {"name": name, "config": {"served_entities": [entity]}}
    status, told = await storm.insist("POST", ENDPOINTS, body)
    assert status == 200, told
    told = await storm.settled(name)
    assert told["state"] == {"ready": "READY", "config_update": "NOT_UPDATING"}, told


async def ask(storm, name):
    """An endpoint's answer, whatever the client says of adapters."""
    url = f"{storm.stand.url}/serving-endpoints/{name}/invocations"
    headers = {"x-adapter": "main.lora.medical/1"}
    async with storm.stand.session.post(url, json=ASK, headers=headers) as answer:
        body = await answer.json()
        assert answer.status == 200, body
        return body["choices"][0]["message"]["content"], body["model"]


async def one_engine(stand):
    """The only engine's process, once there is only one."""

    async def alone():
        return len(stand.engines()) == 1

    await stand.until(alone, 60, "one engine for all")
    return stand.engines()[0]


async def alone(stand, folder, name):
    """What an engine of our own says that has this adapter and no other."""
    for part, files in (("model", MODEL), ("adapter", ADAPTERS[name])):
        for path, content in files.items():
            (folder / part / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / part / path).write_bytes(content)
    async with engine(folder, "--adapter", f"x={folder / 'adapter'}") as session:

        async def healthy():
            try:
                async with session.get("/health") as answer:
                    return answer.status == 200
            except aiohttp.ClientError:
                return False

        await stand.until(healthy, 60, "an engine with one adapter")
        async with session.post("/v1/chat/completions", json=ASK, headers={"x-adapter": "x"}) as answer:
            return (await answer.json())["choices"][0]["message"]["content"]


@asynccontextmanager
async def engine(folder, *more):
    """A session with one of our own."""
    socket = folder / "socket"
    command = [sys.executable, "-m", "penstock_engine", "serve", "--model", folder / "model", "--cache", folder]
    command += ["--socket", socket, "--served-model-name", "tiny", "--task", "llm/v1/chat", *more]
    process = await asyncio.create_subprocess_exec(*map(str, command), stdout=subprocess.DEVNULL)
    async with aiohttp.ClientSession("http://engine", connector=aiohttp.UnixConnector(str(socket))) as session:
        try:
            yield session
        finally:
            process.kill()
            await process.wait()


async def refuses_to_lose_its_base(storm):
    status, told = await storm.call("DELETE", f"{LEGACY}/model-versions/delete", {"name": BASE, "version": "1"})
    assert (status, told["error_code"]) == (409, "RESOURCE_CONFLICT")
    for name in ("base", *ADAPTERS):
        assert f"'{name}'" in told["message"]


async def test_a_model_and_its_adapters_share_an_engine_and_answer_each_as_if_alone(tmp_path):
    stand = Stand(tmp_path, **QUICK)
    try:
        storm = Storm(stand, 1)
        await stand.start()
        await register(storm, BASE, MODEL)
        for name, files in ADAPTERS.items():
            await register(storm, f"main.lora.{name}", files)
        await serve(storm, "base", BASE)
        for name in ADAPTERS:
            await serve(storm, name, f"main.lora.{name}")
        process = await one_engine(stand)
        said = {name: await ask(storm, name) for name in ("base", *ADAPTERS)}
        assert len({text for text, _ in said.values()}) == len(said)
        assert said["legal"][1] == "main.lora.legal/1"
        for _ in range(3):
            again = await asyncio.gather(*(ask(storm, name) for name in said))
            assert again == list(said.values()), "side by side, and with what was kept of their prompts"
        await refuses_to_lose_its_base(storm)

        process.kill()
        again = await asyncio.gather(*(ask(storm, name) for name in said))
        assert again == list(said.values())
        assert (await one_engine(stand)).pid != process.pid

        for name in ADAPTERS:
            assert said[name][0] == await alone(stand, tmp_path / name, name)
        assert await stand.stop() == 0
        assert {row[0] for row in stand.ledger().values()} == {"completed"}
    finally:
        await stand.close()
