"""A clock that tests run by hand."""

import asyncio
import heapq
import itertools

_SETTLE = 100
"""Turns of the event loop given to tasks to come to rest between two moments."""


class FakeClock:
    """Virtual time; see `penstock.ports.clock.Clock`. Time stands still but for `advance`."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._start_ms = now_ms
        self._passed = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now_ms(self) -> int:
        """Epoch milliseconds."""
        return self._start_ms + round(self._passed * 1000)

    def jump(self, seconds: float) -> None:
        """Sets the wall clock, as if by hand: no time passes."""
        self._start_ms += round(seconds * 1000)

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._passed

    async def sleep(self, seconds: float) -> None:
        """Returns when `advance` has passed the moment."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._passed + seconds, next(self._order), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Passes time, waking sleepers in order and letting every task run until it waits again."""
        await self.settle()
        end = self._passed + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, woken = heapq.heappop(self._sleepers)
            self._passed = max(self._passed, at)
            if not woken.done():
                woken.set_result(None)
                await self.settle()
        self._passed = end

    async def settle(self) -> None:
        """Lets tasks run at the same moment."""
        for _ in range(_SETTLE):
            await asyncio.sleep(0)
