"""Who is asked in the comparison with vLLM: whole servers of ours, and vLLM by itself."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from typing import TYPE_CHECKING, Self

import aiohttp
import psutil

from guarantee.stand import Stand, StandError
from penstock.load.runner import open_session
from penstock.load.target import Target
from processes import of_process, of_tree

if TYPE_CHECKING:
    from pathlib import Path

    from guarantee.market import Market, Ware
    from processes import Tree

ENDPOINT = "compared"
SERVES = "vllm.entrypoints.cli.main"
START_S, STOP_S = 300.0, 60.0


class Served:
    """A whole server of ours with one endpoint that has bought all there is."""

    def __init__(self, name: str, market: Market) -> None:
        self.name = name
        self.market = market
        self.stand = market.stand
        self.target = Target("", "")

    async def deploy(self, shape: str) -> Ware:
        """Registers the model, lets it be measured, and sells all of it to one endpoint; returns what was found."""
        ware = await self.market.ware(shape)
        [tenant] = await self.market.sell({ENDPOINT: (ware, ware.slices)})
        self.target = tenant.target
        return ware

    def gateway(self) -> Tree:
        """The server's own process."""
        return of_process(self.stand.process.pid)

    def whole(self) -> Tree:
        """The server and its engine."""
        return of_tree(self.stand.process.pid)

    def engine(self) -> psutil.Process:
        """What keeps the running vLLM. Raises StandError if none serves."""
        for process in psutil.Process(self.stand.process.pid).children():
            command = process.cmdline()
            if SERVES in command and "serve" in command:
                return process
        raise StandError("the server runs no vLLM: it was not chosen for this model")


class Bare:
    """`vllm serve` by itself: the command line and the variables of the one that the server runs, on another socket."""

    name = "bare"

    def __init__(self, like: psutil.Process, folder: Path) -> None:
        self._log, socket = folder / "bare.log", str(folder / "bare.sock")
        command = like.cmdline()
        command[command.index("--uds") + 1] = socket
        self.command, self.variables = command, like.environ()
        served = command[command.index("--served-model-name") + 1]
        self.target = Target("http://engine", served, path="/v1", socket=socket)
        self._process: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Self:
        with self._log.open("wb") as log:
            # On the same leash: everything that it starts ends with it, also when this program is killed.
            self._process = subprocess.Popen(  # noqa: ASYNC220
                self.command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self.variables,
                start_new_session=True,
            )
        try:
            async with asyncio.timeout(START_S):
                while not await self._healthy():  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.2)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def _healthy(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise StandError(f"vLLM by itself did not start:\n{self._log.read_text(errors='replace')[-2000:]}")
        try:
            async with open_session(self.target) as session, session.get("http://engine/health") as answer:
                return answer.status == 200
        except (OSError, aiohttp.ClientError):
            return False

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._process.wait, STOP_S)
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        await asyncio.to_thread(self._process.wait)

    def whole(self) -> Tree:
        """All its processes."""
        assert self._process is not None
        return of_tree(self._process.pid)

    def flags(self) -> str:
        """What both vLLMs are told, without where their files and sockets are."""
        return " ".join(self.command[self.command.index("--dtype") :])


def stand(folder: Path, python: str, budget_s: float) -> Stand:
    """A server that is not started yet: with vLLM by its interpreter, or the CPU engine's if that is empty."""
    return Stand(
        folder,
        PENSTOCK_VLLM_PYTHON=python,
        PENSTOCK_VLLM_OLDER_PYTHON="",
        PENSTOCK_VLLM_ON_CPU="true" if python else "false",
        PENSTOCK_SERVING_PROFILE_BUDGET_S=f"{budget_s:g}",
    )
