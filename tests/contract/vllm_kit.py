"""What tests of vLLM stand on: a tiny model, and an engine of it run by its recipe."""

import json
from dataclasses import replace

import aiohttp
from engine_runs import ready, write

from penstock.adapters.clusters.gpus import GpuDevice
from penstock.adapters.clusters.local import LocalCluster
from penstock.adapters.engines import vllm_address
from penstock.adapters.engines.clients import EngineClients
from penstock.adapters.engines.relay import EngineRelay
from penstock.adapters.engines.vllm import VllmRecipe
from penstock.adapters.engines.vllm_relay import VllmRelay
from penstock.adapters.models.reader import FolderReader
from penstock.domain.model import Precision
from penstock.domain.vllm_plan import GIB, Hardware, Wishes
from penstock.ports.engine import EngineSpec
from penstock.testing.tiny_llama import version_files

PROMPT = [7, 8, 9, 10] * 8
CARD = Hardware(1, 80 * GIB, 64 * GIB)
GPU = GpuDevice("gpu0", "gpu/Played/1", (3,), 80 * GIB)
CHAT = "/v1/chat/completions"
HEAD = 64
"""Attention heads of less have no kernels in vLLM for CPUs."""
_TOKENIZER = "components/tokenizer/tokenizer"
_THINKING = {"<|user|>": "<think>", "<|system|>": "</think>"}


def thinking(files):
    """The same model with the tokens around thoughts, and a template that knows them."""
    told = json.loads(files[f"{_TOKENIZER}.json"])
    for token in told["added_tokens"]:
        token["content"] = _THINKING.get(token["content"], token["content"])
    config = json.loads(files[f"{_TOKENIZER}_config.json"])
    template = "{% for m in messages %}{{ m['content'].split('</think>')[-1] }}{% endfor %}<|assistant|><think>"
    more = {f"{_TOKENIZER}.json": told, f"{_TOKENIZER}_config.json": {**config, "chat_template": template}}
    return files | {path: json.dumps(content).encode() for path, content in more.items()}


async def read_model(folder, files=None):
    return await FolderReader().read(write(folder, files or version_files(head=HEAD)))


class Kit:
    def __init__(self, folder, python, facts, *, version="0.33.0", hardware=CARD, gpus=(GPU,), wishes=None):
        self.folder, self.python, self.facts, self.version = folder, python, facts, version
        self.cluster = LocalCluster(folder / "run", memory_fraction=0.8, gpus=gpus)
        self.hardware, self.wishes = hardware, wishes or Wishes(8, adapters=2, sleeps=True)
        self.relay, self.client = VllmRelay(EngineRelay()), EngineClients()
        self.address = ""
        (folder / "cache").mkdir()

    @property
    def recipe(self):
        return VllmRecipe(self.python, self.version, self.hardware, self.wishes, max_queue=4)

    def spec(self, **changes):
        needs = self.recipe.needs(self.facts, Precision.BF16)
        spec = EngineSpec(self.folder / "model", self.folder / "cache", self.facts, "main.a.b/1", Precision.BF16, needs)
        return replace(spec, **changes)

    async def start(self, spec=None, device="gpu0"):
        spec = spec or self.spec()
        self.address = self.recipe.address(spec, self.cluster.address("r1"))
        launch = self.recipe.serve(spec, self.address, self.folder / "server.log")
        return await self.cluster.start(replace(launch, device=device))

    async def ready(self, limit_s=60, **named):
        process = await self.start(**named)
        return await ready(
            self.cluster, self.client, process, self.address, self.folder / "server.log", limit_s=limit_s
        )

    async def log(self):
        return await self.cluster.tail(self.folder / "server.log", 8192)

    async def told(self):
        socket = vllm_address.place_of(self.address).removeprefix("unix:")
        async with (
            aiohttp.ClientSession("http://engine", connector=aiohttp.UnixConnector(socket)) as session,
            session.get("/seen") as answer,
        ):
            return await answer.json()

    async def ask(self, path, body, **named):
        return await self.relay.open(self.address, path, json.dumps(body).encode(), "req-1", namespace="e1", **named)

    async def close(self):
        await self.relay.close()
        await self.cluster.close()


async def stream(answer):
    chunks = []
    while chunk := await answer.chunk():
        chunks.append(chunk)
    return b"".join(chunks)
