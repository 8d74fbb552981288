"""What ends a request from outside: its client left, its time is over, its endpoint is gone, or the server stops."""

import asyncio
from enum import StrEnum

from penstock.domain.routing import EndpointRoute
from penstock.ports.clock import Clock


class Cut(StrEnum):
    """Why a request was interrupted, in the words of the ledger."""

    GONE = "the client hung up"
    OVERDUE = "the time limit was reached"
    STOPPED = "the server stopped"
    DELETED = "the endpoint was deleted"


class Interrupt:
    """Interrupts the task that made it, at most once, and until it is disarmed."""

    __slots__ = ("_armed", "_task", "reason")

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self._armed = True
        self.reason: Cut | None = None

    def cut(self, reason: Cut) -> None:
        """Cancels what the task waits for now."""
        if self._armed and self.reason is None and self._task is not None:
            self.reason = reason
            self._task.cancel()

    def disarm(self) -> Cut | None:
        """From here on nothing is interrupted; why it was, if it was."""
        self._armed = False
        if self.reason is not None and self._task is not None:
            self._task.uncancel()
        return self.reason


class Running:
    """The requests under way, oldest first, for the time limit, for endpoints that go, and for a clean stop.

    Hears of endpoints from the table.
    """

    def __init__(self, clock: Clock, limit_s: float, drain_s: float = 20.0) -> None:
        """A request may take `limit_s` seconds, and `drain_s` from when its endpoint is deleted."""
        self.limit_s = limit_s
        self.drain_s = drain_s
        self.draining = False
        self._clock = clock
        self._since: dict[Interrupt, tuple[float, str]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._since)

    def enter(self, interrupt: Interrupt, now: float, endpoint_id: str) -> None:
        """A request to an endpoint begins at monotonic `now`."""
        self._since[interrupt] = now, endpoint_id
        self._empty.clear()

    def leave(self, interrupt: Interrupt) -> None:
        """It has ended and is settled."""
        del self._since[interrupt]
        if not self._since:
            self._empty.set()

    def publish(self, endpoint: EndpointRoute) -> None:
        """Nothing: what runs goes on as it began."""

    def withdraw(self, endpoint_id: str) -> None:
        """The endpoint is gone: what runs of it is interrupted when the drain time is over."""
        left = [interrupt for interrupt, (_, whose) in self._since.items() if whose == endpoint_id]
        if left:
            task = asyncio.ensure_future(self._end(left))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def _end(self, left: list[Interrupt]) -> None:
        # A replica of its own is killed as long after it is told to stop, which is a little later.
        await self._clock.sleep(self.drain_s)
        for interrupt in left:
            interrupt.cut(Cut.DELETED)

    async def step(self) -> str:
        """A loop's step: interrupts requests whose time is over."""
        latest = self._clock.monotonic() - self.limit_s
        overdue = 0
        for interrupt, (since, _) in self._since.items():
            if since > latest:
                break
            interrupt.cut(Cut.OVERDUE)
            overdue += 1
        return f"ended {overdue} requests that took longer than {self.limit_s:.0f} s" if overdue else ""

    async def drain(self, seconds: float) -> int:
        """Takes nothing new, waits `seconds` for what runs, then interrupts it; returns how many that were.

        When it returns every request is settled.
        """
        self.draining = True
        timer = asyncio.ensure_future(self._clock.sleep(seconds))
        empty = asyncio.ensure_future(self._empty.wait())
        try:
            await asyncio.wait((timer, empty), return_when=asyncio.FIRST_COMPLETED)
            left = list(self._since)
            for interrupt in left:
                interrupt.cut(Cut.STOPPED)
            await empty
        finally:
            timer.cancel()
            empty.cancel()
        return len(left)
