"""A real vLLM as Penstock runs it, behind a socket that is asked like any other engine's.

usage: vllm_front.py JOB_JSON

The job: {"python": an interpreter that has vLLM, "model": a folder, "task", "precision", "cache", "socket": ours,
"direct": vLLM's own, "folder": for its log}. There may be {"adapters": {name: folder}} too, of which the header
`x-adapter` chooses one, and {"refused": true}, if the launch plan refuses the model. The command line is the recipe's,
and requests go through the relay. It ends when its stdin does.
"""

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path

from aiohttp import web

from penstock.adapters.clusters.local import LocalCluster
from penstock.adapters.engines.clients import EngineClients
from penstock.adapters.engines.relay import EngineRelay
from penstock.adapters.engines.vllm import VllmRecipe, vllm_version
from penstock.adapters.engines.vllm_relay import VllmRelay
from penstock.adapters.models.reader import read_facts
from penstock.domain.errors import InvalidRequest
from penstock.domain.model import Precision, Task
from penstock.domain.vllm_plan import GIB, Hardware, Wishes
from penstock.ports.engine import EngineSpec

CPU = Hardware(gpus=0, total=12 * GIB, memory=12 * GIB)
RUNNING = 8
RANK = 8
"""Of the largest of the tests' adapters."""
LOG_BYTES = 6000


class TokensToo:
    """The relay below ours: asks for the numbers of tokens too, which no client of the platform can do."""

    def __init__(self, relay):
        self._relay = relay

    async def open(self, address, path, body, request_id, **named):
        asked = json.loads(body)
        if "embeddings" not in path:
            asked["return_token_ids"] = True
        return await self._relay.open(address, path, json.dumps(asked).encode(), request_id, **named)


async def main(job):
    folder, adapters = Path(job["folder"]), job.get("adapters", {})
    version = await vllm_version(job["python"], "vllm.python")
    recipe = VllmRecipe(job["python"], version, CPU, Wishes(RUNNING, adapters=len(adapters)), max_queue=64)
    facts, precision = facts_of(job), Precision(job["precision"])
    assert bool(recipe.refusal(facts, precision)) == job.get("refused", False)
    assert recipe.adapts(facts) or not adapters
    needs = recipe.needs(facts, precision)
    spec = EngineSpec(Path(job["model"]), Path(job["cache"]), facts, "tiny", precision, needs)
    room = recipe.room(facts, precision, [RANK] * len(adapters))
    spec = replace(spec, room=room)
    address = recipe.address(spec, f"unix:{job['direct']}")
    launch = replace(recipe.serve(spec, address, folder / "vllm.log"), device="cpu")
    cluster, client, relay = LocalCluster(folder, memory_fraction=0.5), EngineClients(), EngineRelay()
    try:
        await ready(cluster, client, launch, address)
        for name, place in adapters.items():
            assert await client.load_adapter(address, name, Path(place)) == ""
        runner = await listening(VllmRelay(TokensToo(relay)), address, job["socket"])
        print(f" serving tiny on {job['socket']}, by vLLM {version}", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        await runner.cleanup()
    finally:
        await relay.close()
        await cluster.close()


def facts_of(job):
    """As the platform reads them, but for the task, which only an MLmodel file says."""
    facts = read_facts(Path(job["model"]))
    return replace(facts, task=Task(job["task"]))


async def ready(cluster, client, launch, address):
    process = await cluster.start(launch)
    while not await client.healthy(address):
        if await cluster.exit_code(process) is not None:
            sys.exit(await cluster.tail(launch.log, LOG_BYTES))
        await asyncio.sleep(0.1)


async def listening(relay, address, socket):
    async def ask(request):
        body, adapter = await request.read(), request.headers.get("x-adapter", "")
        try:
            answer = await relay.open(address, request.path, body, "asked", namespace="tests", adapter=adapter)
        except InvalidRequest as error:
            return web.json_response({"message": str(error)}, status=400)
        whole = await answer.whole()
        answer.close()
        return web.Response(body=whole, status=answer.status, content_type="application/json")

    app = web.Application()
    app.router.add_post("/{path:.*}", ask)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, socket).start()
    return runner


asyncio.run(main(json.loads(Path(sys.argv[1]).read_text())))
