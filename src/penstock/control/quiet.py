"""Who uses the devices: what a measurement waits for, and gives way to."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from penstock.ports.capacity import Capacity, Reading
from penstock.ports.clock import Clock

T = TypeVar("T")
LOOK_S = 0.25
"""How often the gate is looked at while something waits for a device, or uses it."""


class Quiet:
    """Remembers when requests of which endpoints last used each device, by the gate's counters."""

    def __init__(self, capacity: Capacity, clock: Clock) -> None:
        self._capacity = capacity
        self._clock = clock
        self._began = clock.monotonic()
        self._arrived: dict[tuple[str, str], float] = {}
        self._active: dict[str, dict[str, float]] = {}

    def look(self) -> None:
        """Compares with the last look: what is there now, or came between, is activity."""
        now = self._clock.monotonic()
        arrived = {}
        for one in self._capacity.readings():
            key = (one.endpoint_id, one.entity)
            arrived[key] = one.arrived
            if _uses(one) or one.arrived > self._arrived.get(key, 0.0):
                for part in one.parts:
                    self._active.setdefault(part.device, {})[one.endpoint_id] = now
        self._arrived = arrived

    def idle_s(self, device: str) -> float:
        """Seconds since a request to what is on the device ran or came; since the start if none ever did."""
        last = max(self._active.get(device, {}).values(), default=self._began)
        return self._clock.monotonic() - last

    def users(self, device: str, since: float) -> frozenset[str]:
        """The ids of endpoints with requests there after that time (monotonic)."""
        return frozenset(key for key, at in self._active.get(device, {}).items() if at > since)

    async def during(
        self, device: str, work: Coroutine[Any, Any, T], *, gives_way: bool
    ) -> tuple[T | None, frozenset[str]]:
        """Does the work while watching the device: what came of it, and the endpoints with requests meanwhile.

        What gives way is broken off with None as soon as one comes.
        """
        self.look()
        began = self._clock.monotonic()
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                await self._a_moment(task)
                self.look()
                if gives_way and self.users(device, began) and not task.done():
                    return None, self.users(device, began)
            return task.result(), self.users(device, began)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _a_moment(self, task: asyncio.Future[Any]) -> None:
        timer = asyncio.ensure_future(self._clock.sleep(LOOK_S))
        try:
            await asyncio.wait((task, timer), return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            await asyncio.gather(timer, return_exceptions=True)


def _uses(reading: Reading) -> bool:
    return bool(reading.in_flight or reading.waiting)
