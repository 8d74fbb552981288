"""The engine behind the gate, spoken to directly: what it does now, and how fast it is."""

import asyncio
import contextlib
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from penstock.load.arrivals import Replay
from penstock.load.prompts import Ids
from penstock.load.runner import run
from penstock.load.target import Target
from penstock.load.workload import Ask, Workload

VOCABULARY = 8000
BURST, BURST_ASK = 24, Ask(512, 32)
"""What the speed of the machine is told by: always the same requests, all at once."""
IDLE_S = 60.0
_SUM = re.compile(r"^penstock_engine_step_seconds_sum (\S+)", re.MULTILINE)
_RUNNING = re.compile(r"^penstock_engine_running (\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Moment:
    """At `at` (the event loop's time) `running` sequences were in the batch; steps had taken `computing_s` so far."""

    at: float
    running: int
    computing_s: float


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine on a Unix socket."""

    socket: Path

    def target(self, endpoint: str) -> Target:
        """As the load generator's target: requests are served in the order in which they come."""
        return Target("http://engine", endpoint, path="/v1", socket=str(self.socket))

    async def health(self) -> dict[str, Any]:
        """What it says of itself."""
        async with self._session() as session, session.get("http://engine/health") as answer:
            found: dict[str, Any] = await answer.json()
            return found

    async def idle(self) -> None:
        """Waits until nothing runs and nothing waits; raises TimeoutError after a minute."""
        async with asyncio.timeout(IDLE_S):
            while True:
                told = await self.health()
                if not told["running"] and not told["waiting"]:
                    return
                await asyncio.sleep(0.05)

    async def speed(self) -> float:
        """Tokens/s of a burst of requests, which takes about two seconds."""
        await self.idle()
        prompts = Ids(2, VOCABULARY)
        results = await run(self.target("speed"), Workload((BURST_ASK,)), Replay((0.0,) * BURST), 0.1, prompts=prompts)
        seconds = max(row.ended_at for row in results.rows) - min(row.sent_at for row in results.rows)
        return sum(row.tokens_in + row.tokens_out for row in results.rows) / seconds

    async def watch(self, every_s: float, found: list[Moment]) -> None:
        """Adds what the engine does to `found`, again and again until it is cancelled."""
        clock = asyncio.get_running_loop().time
        async with self._session() as session:
            while True:
                began = time.monotonic()
                async with session.get("http://engine/metrics") as answer:
                    text = await answer.text()
                computing, running = _SUM.search(text), _RUNNING.search(text)
                if computing and running:
                    found.append(Moment(clock(), int(float(running[1])), float(computing[1])))
                await asyncio.sleep(max(0.0, began + every_s - time.monotonic()))

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(self.socket)))


async def running(sockets: list[Path]) -> list[Engine]:
    """The engines that answer; a socket that was left behind has none."""
    found = []
    for socket in sockets:
        with contextlib.suppress(OSError, aiohttp.ClientError):
            await Engine(socket).health()
            found.append(Engine(socket))
    return found


async def of_model(sockets: list[Path], model: str) -> Engine:
    """The engine that serves a model (a part of what it calls itself); raises LookupError."""
    names = []
    for engine in await running(sockets):
        names.append(str((await engine.health())["model"]))
        if model in names[-1]:
            return engine
    raise LookupError(f"no engine serves {model}, only {names}")
