"""A cluster that puts engines to sleep instead of ending them, and wakes them instead of starting the same again."""

import asyncio
import contextlib
import os
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock.domain.placement import Device
from penstock.ports.cluster import Cluster, Process
from penstock.ports.engine import Launch
from penstock.ports.sleeper import Sleeper

_UNIX = "unix:"


@dataclass(frozen=True, slots=True)
class _Engine:
    """A process that serves at `address`, and what it is: with equal `what`, one is as good as another."""

    process: Process
    address: str
    what: Hashable


class SleepingCluster:
    """See `penstock.ports.cluster.Cluster`. At most `most` engines sleep, in the machine's own memory.

    Of the launches only those that tell an address to be put to sleep at (`Launch.sleeps`) are concerned. To everybody
    else an engine that sleeps has ended, with status 0.
    """

    def __init__(self, cluster: Cluster, sleeper: Sleeper, *, most: int) -> None:
        self._cluster = cluster
        self._sleeper = sleeper
        self._most = most
        self._awake: dict[Process, _Engine] = {}
        self._asleep: dict[Process, _Engine] = {}

    async def devices(self) -> Sequence[Device]:
        """The cluster's."""
        return await self._cluster.devices()

    def address(self, replica_id: str) -> str:
        """The cluster's."""
        return self._cluster.address(replica_id)

    async def start(self, launch: Launch) -> Process:
        """Wakes one that sleeps, if it is the same; else starts it."""
        if not launch.sleeps:
            return await self._cluster.start(launch)
        what = _what(launch)
        for one in [one for one in self._asleep.values() if one.what == what]:
            if self._asleep.pop(one.process, None) is None:
                continue  # taken, or ended, while the one before it was woken
            if await self._sleeper.wake(one.address) and await asyncio.to_thread(_moved, one.address, launch.sleeps):
                self._awake[one.process] = _Engine(one.process, launch.sleeps, what)
                return one.process
            await self._cluster.stop(one.process, 0.0)
        process = await self._cluster.start(launch)
        self._awake[process] = _Engine(process, launch.sleeps, what)
        return process

    async def exit_code(self, process: Process) -> int | None:
        """As the cluster says; 0 of one that sleeps."""
        status = await self._cluster.exit_code(process)
        if status is not None:
            self._awake.pop(process, None)
            self._asleep.pop(process, None)
        return 0 if process in self._asleep else status

    async def memory(self, process: Process) -> int:
        """The cluster's."""
        return await self._cluster.memory(process)

    async def stop(self, process: Process, grace_s: float) -> None:
        """Puts it to sleep, if there is time for that and it can; else ends it."""
        if process in self._asleep:
            return
        engine, began = self._awake.get(process), asyncio.get_running_loop().time()
        if engine is not None and grace_s > 0 and await self._sleeper.sleep(engine.address, grace_s):
            self._awake.pop(process, None)
            self._asleep[process] = engine
            await self._make_room()
            return
        self._awake.pop(process, None)
        left_s = grace_s - (asyncio.get_running_loop().time() - began)
        await self._cluster.stop(process, max(left_s, 0.0))

    async def tail(self, log: Path, limit: int) -> str:
        """The cluster's."""
        return await self._cluster.tail(log, limit)

    async def forget_logs(self, folder: Path) -> None:
        """The cluster's."""
        await self._cluster.forget_logs(folder)

    async def _make_room(self) -> None:
        """Ends those that have slept longest, where there are too many."""
        while len(self._asleep) > self._most:
            oldest = next(iter(self._asleep))
            del self._asleep[oldest]
            await self._cluster.stop(oldest, 0.0)


def _what(launch: Launch) -> Hashable:
    """All of a launch but where it listens and logs."""
    place = launch.sleeps.partition(_UNIX)[2] or launch.sleeps
    command = tuple(word for word in launch.command if word != place)
    return command, launch.environment, launch.device


def _moved(here: str, there: str) -> bool:
    """Moves a Unix socket, which goes on as it was; whether that was possible."""
    old, new = here.partition(_UNIX)[2], there.partition(_UNIX)[2]
    if not old or not new:
        return False
    with contextlib.suppress(OSError):
        os.replace(old, new)  # noqa: PTH105 - beside pathlib, on a thread of its own
        return True
    return False
