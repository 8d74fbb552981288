"""The two engines of the comparison, each in its own process, behind one shape: start, waves of requests, memory."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE, STDOUT
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import aiohttp

from processes import of_tree

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Sequence

    from processes import Tree

BLOCK = 32
"""Tokens per KV block, in both engines."""
START_SECONDS = 300.0
WAVE_SECONDS = 1800.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What both sides are told alike."""

    model: Path
    precision: str
    kv_blocks: int
    kv_block_bytes: int
    max_running: int
    chunk: int
    """Prompt tokens that a step computes at most."""
    logs: Path
    more: tuple[str, ...] = ()
    """What else Penstock's worker is told."""
    name: str = ""
    """What its log is called by, behind the model's name."""


@dataclass(frozen=True, slots=True)
class Wave:
    """What came of requests that were all sent at the same moment."""

    seconds: float
    tokens: int
    """Of prompts and answers together, as the engine counted them."""


class Side(Protocol):
    """An engine under measurement."""

    async def start(self) -> None:
        """Start the process, and return when it is ready."""

    async def wave(self, prompts: list[list[int]], max_tokens: int) -> Wave:
        """Send all prompts at once and wait until all answers are whole."""

    def tree(self) -> Tree:
        """Its processes' memory and time."""

    async def stop(self) -> None:
        """End the process."""


class Penstock:
    """The real worker, over HTTP on its Unix socket."""

    def __init__(self, plan: Plan, cache: Path, *, stream: bool) -> None:
        self._plan = plan
        self._cache = cache
        self._stream = stream
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        self._socket = f"{self._folder.name}/s"
        self._process: Process | None = None
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        plan = self._plan
        log = plan.logs / f"penstock-{plan.model.name}-{plan.precision}{plan.name}.log"
        with log.open("wb") as file:  # a build comes before serving and in another process, as the server does it
            self._process = await create_subprocess_exec(*self._command("build"), stdout=file, stderr=STDOUT)
            await self._process.wait()
            self._process = await create_subprocess_exec(*self._command("serve"), stdout=file, stderr=STDOUT)
        timeout = aiohttp.ClientTimeout(total=WAVE_SECONDS)
        self._session = aiohttp.ClientSession(connector=aiohttp.UnixConnector(self._socket, limit=0), timeout=timeout)
        deadline = time.monotonic() + START_SECONDS
        while not await self._healthy():
            if self._process.returncode is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the worker did not start; its log is {log}")
            await asyncio.sleep(0.05)

    def _command(self, name: str) -> list[str]:
        plan = self._plan
        command = [sys.executable, "-m", "penstock_engine", name, "--model", str(plan.model)]
        command += ["--cache", str(self._cache), "--precision", plan.precision]
        if name == "build":
            return command
        command += ["--socket", self._socket, "--served-model-name", "m", "--task", "llm/v1/completions"]
        command += ["--max-running", str(plan.max_running), "--max-queue", "64", "--prefill-chunk", str(plan.chunk)]
        return [*command, "--kv-bytes", str(plan.kv_blocks * plan.kv_block_bytes), *plan.more]

    async def _healthy(self) -> bool:
        assert self._session is not None
        try:
            async with self._session.get("http://engine/health") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    async def wave(self, prompts: list[list[int]], max_tokens: int, adapters: Sequence[str] = ()) -> Wave:
        """With adapters, each prompt is for one of them, in turn."""
        bodies = [self._body(prompt, max_tokens) for prompt in prompts]
        start = time.perf_counter()
        asked = zip(bodies, cycle(adapters or [""]), strict=False)
        tokens = await asyncio.gather(*(self._ask(body, adapter) for body, adapter in asked))
        return Wave(time.perf_counter() - start, sum(tokens))

    def _body(self, prompt: list[int], max_tokens: int) -> bytes:
        fields = {"model": "m", "prompt": prompt, "max_tokens": max_tokens, "ignore_eos": True, "temperature": 0}
        return json.dumps(fields | {"stream": self._stream}).encode()

    async def _ask(self, body: bytes, adapter: str) -> int:
        assert self._session is not None
        headers = {"Content-Type": "application/json"} | ({"x-adapter": adapter} if adapter else {})
        async with self._session.post("http://engine/v1/completions", data=body, headers=headers) as response:
            if response.status != 200:
                raise RuntimeError(await response.text())
            last = b""
            async for line in response.content:
                if line.strip() not in (b"", b"data: [DONE]"):
                    last = line
        total: int = json.loads(last.removeprefix(b"data: "))["usage"]["total_tokens"]
        return total

    def tree(self) -> Tree:
        assert self._process is not None
        return of_tree(self._process.pid)

    async def stop(self) -> None:
        if self._session is not None:
            await self._session.close()
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()
        self._folder.cleanup()


class GenAI:
    """OpenVINO GenAI's continuous batching pipeline, called in its own process without a server in between."""

    def __init__(self, plan: Plan, environment: Path, properties: list[str]) -> None:
        self._plan = plan
        self._environment = environment
        self._properties = properties
        self._process: Process | None = None

    async def start(self) -> None:
        plan = self._plan
        driver = Path(__file__).with_name("genai_driver.py")
        options = ["--model", str(plan.model), "--kv-blocks", str(plan.kv_blocks), "--batched-tokens", str(plan.chunk)]
        options += ["--max-running", str(plan.max_running)]
        options += [text for each in self._properties for text in ("--property", each)]
        with (plan.logs / f"genai-{plan.model.name}.log").open("wb") as log:
            self._process = await create_subprocess_exec(
                str(self._environment / "bin/python"),
                str(driver),
                *options,
                stdin=PIPE,
                stdout=PIPE,
                stderr=log,
                env=os.environ | {"HF_HUB_OFFLINE": "1"},
            )
        await asyncio.wait_for(self._answer(), START_SECONDS)

    async def wave(self, prompts: list[list[int]], max_tokens: int) -> Wave:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"prompts": prompts, "max_tokens": max_tokens}).encode() + b"\n")
        answer = await asyncio.wait_for(self._answer(), WAVE_SECONDS)
        return Wave(answer["seconds"], int(answer["tokens"]))

    async def _answer(self) -> dict[str, float]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the pipeline ended; its log is in {self._plan.logs}")
        answer: dict[str, float] = json.loads(line)
        return answer

    def tree(self) -> Tree:
        assert self._process is not None
        return of_tree(self._process.pid)

    async def stop(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            await self._process.wait()
