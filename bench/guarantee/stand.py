"""A real server with real models for a benchmark: a process on a free port, an empty folder, plain HTTP."""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from penstock.load.target import Target

PENSTOCK = [sys.executable, "-c", "from penstock.cli.main import main; main()"]
START_S, READY_S, STOP_S = 60.0, 900.0, 60.0
LEGACY = "/api/2.0/mlflow/unity-catalog"
ENDPOINTS = "/api/2.0/serving-endpoints"
MLMODEL = """\
flavors:
  transformers:
    task: llm/v1/completions
    inference_task: llm/v1/completions
    pipeline_model_type: LlamaForCausalLM
    instance_type: TextGenerationPipeline
    model_binary: model
    components:
    - tokenizer
    tokenizer_type: PreTrainedTokenizerFast
    torch_dtype: torch.bfloat16
metadata:
  task: llm/v1/completions
"""


class StandError(Exception):
    """The server did not do what the benchmark needs; the message has its words."""


def end_when_told() -> None:
    """Lets SIGTERM cancel the task that runs now: who ends a benchmark ends the servers that it started too."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


class Stand:
    """`async with Stand(folder, PENSTOCK_...="...") as stand`: the server runs inside, and is stopped after."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        self._variables = variables
        self.token = f"dapi{secrets.token_hex(16)}"
        self.url = ""
        self.log = folder / "server.log"

    async def __aenter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "PENSTOCK_ADMIN_TOKEN": self.token, **self._variables}
        command = [*PENSTOCK, "serve", "--port", "0", "--data-dir", str(self.folder / "data")]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)  # noqa: ASYNC220
        self._session = aiohttp.ClientSession(headers={"Authorization": f"Bearer {self.token}"})
        try:
            await self._started()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()
        self.process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(self.process.wait, STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def target(self, endpoint: str, **settings: Any) -> Target:
        """The endpoint as the load generator's target."""
        return Target(self.url, endpoint, self.token, **settings)

    def sockets(self) -> list[Path]:
        """Where its engines listen, the newest first."""
        return sorted(self.folder.rglob("*.sock"), key=lambda path: path.stat().st_mtime, reverse=True)

    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The answer of a route; StandError if it is an error."""
        async with self._session.request(method, self.url + path, json=body) as answer:
            told = await answer.json()
            if answer.status >= 400:
                raise StandError(f"{method} {path}: HTTP {answer.status}: {told.get('message', told)}")
            return told

    async def register(self, model: str, folder: Path) -> str:
        """Registers a folder of safetensors as `catalog.schema.model`; returns the version's number."""
        await self.call("POST", f"{LEGACY}/registered-models/create", {"name": model})
        made = await self.call("POST", f"{LEGACY}/model-versions/create", {"name": model, "source": str(folder)})
        version = str(made["model_version"]["version"])
        await self._put(model, version, "MLmodel", MLMODEL.encode())
        for path in await asyncio.to_thread(lambda: sorted(folder.iterdir())):
            room = "components/tokenizer" if path.name.startswith("tokenizer") else "model"
            await self._put(model, version, f"{room}/{path.name}", await asyncio.to_thread(path.read_bytes))
        await self.call("POST", f"{LEGACY}/model-versions/finalize", {"name": model, "version": version})
        return version

    async def deploy(self, name: str, model: str, version: str, least: int, most: int) -> dict[str, Any]:
        """Creates an endpoint with a band in tokens/s and waits until it is ready; returns it."""
        entity = {
            "entity_name": model,
            "entity_version": version,
            "min_provisioned_throughput": least,
            "max_provisioned_throughput": most,
        }
        await self.call("POST", ENDPOINTS, {"name": name, "config": {"served_entities": [entity]}})
        return await self.ready(name)

    async def ready(self, name: str) -> dict[str, Any]:
        """The endpoint when it is ready; StandError if it fails or takes longer than READY_S."""
        end = time.monotonic() + READY_S
        while time.monotonic() < end:
            endpoint = await self.call("GET", f"{ENDPOINTS}/{name}")
            state = endpoint["state"]
            if state["config_update"] == "UPDATE_FAILED":
                break
            if state == {"ready": "READY", "config_update": "NOT_UPDATING"}:
                return endpoint
            await asyncio.sleep(0.2)
        raise StandError(f"{name} is not ready: {endpoint}")

    async def measure(self, model: str, version: str) -> None:
        """Measures a version that is deployed once more; StandError if that fails or takes longer than READY_S."""
        path = f"{ENDPOINTS}/profiles/{model}/{version}"
        await self.call("POST", path, {})
        end = time.monotonic() + READY_S
        while time.monotonic() < end:
            told = await self.call("GET", path)
            if told["failure"]:
                raise StandError(f"{model} could not be measured: {told['failure']}")
            if told["progress"] is None:
                return
            await asyncio.sleep(0.5)
        raise StandError(f"measuring {model} takes too long: {told}")

    async def _put(self, model: str, version: str, path: str, content: bytes) -> None:
        full = f"/Models/{model.replace('.', '/')}/{version}/{path}"
        signed = await self.call("POST", "/api/2.0/fs/create-upload-url", {"path": full})
        async with self._session.put(signed["url"], data=content, headers={"Authorization": ""}) as put:
            if put.status >= 300:
                raise StandError(f"{path}: HTTP {put.status}: {await put.text()}")

    async def _started(self) -> None:
        end = time.monotonic() + START_S
        while time.monotonic() < end and self.process.poll() is None:
            self.url = self.url or self._address()
            if self.url:
                try:
                    await self.call("GET", "/health/ready")
                except (StandError, aiohttp.ClientError):
                    pass
                else:
                    return
            await asyncio.sleep(0.05)
        raise StandError(f"the server did not start:\n{self._words()}")

    def _address(self) -> str:
        told = self._words().partition("Penstock listens on ")[2].split()
        return told[0] if told else ""

    def _words(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]
