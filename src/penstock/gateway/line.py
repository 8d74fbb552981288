"""Who waits for room under limits, in the order they came. What does not fit holds up nobody behind it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from penstock.domain.rate_meter import Shortage
from penstock.ports.clock import Clock

_SHORTEST_S = 0.05
_Room = TypeVar("_Room")


@dataclass(slots=True, eq=False)
class _Waiter(Generic[_Room]):
    attempt: Callable[[], _Room | Shortage]
    short: Shortage
    future: "asyncio.Future[_Room | Shortage]"


class Line(Generic[_Room]):
    """Lives on one event loop. Nobody waits longer than `wait_s` seconds. `undo` gives back what nobody takes."""

    def __init__(self, clock: Clock, wait_s: float, undo: Callable[[_Room], None]) -> None:
        self._clock = clock
        self._wait_s = wait_s
        self._undo = undo
        self._waiters: list[_Waiter[_Room]] = []

    def __len__(self) -> int:
        return len(self._waiters)

    async def wait(self, attempt: Callable[[], _Room | Shortage], short: Shortage) -> _Room | Shortage:
        """Tries `attempt` whenever there may be room; what it got, or the last shortage when the wait is over.

        `short` is what it was short of when it was tried before.
        """
        waiter = _Waiter(attempt, short, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        timer = asyncio.ensure_future(self._watch(waiter))
        try:
            return await waiter.future
        except asyncio.CancelledError:
            if waiter.future.done() and not waiter.future.cancelled():
                got = waiter.future.result()
                if not isinstance(got, Shortage):
                    self._undo(got)
            raise
        finally:
            timer.cancel()
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            self.pump()

    def pump(self) -> None:
        """Lets in whoever there is room for."""
        for waiter in [one for one in self._waiters if not one.future.done()]:
            got = waiter.attempt()
            if isinstance(got, Shortage):
                waiter.short = got
            else:
                waiter.future.set_result(got)

    async def _watch(self, waiter: _Waiter[_Room]) -> None:
        """Looks again when time has made room, and gives up when the wait is over."""
        ends_at = self._clock.monotonic() + self._wait_s
        while True:
            left = ends_at - self._clock.monotonic()
            await self._clock.sleep(min(max(waiter.short.wait_s, _SHORTEST_S), left))
            self.pump()
            if waiter.future.done():
                return
            if self._clock.monotonic() >= ends_at:
                waiter.future.set_result(waiter.short)
                return
