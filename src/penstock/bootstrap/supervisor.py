"""Runs the loops of a server, and knows whether they are well."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from penstock.control.loop import Loop
from penstock.domain.errors import Temporary

FAILURES_TO_BE_ILL = 3


@dataclass(frozen=True, slots=True)
class Supervisor:
    """Loops that run."""

    loops: Sequence[Loop]
    tasks: Sequence[asyncio.Task[None]]

    async def check(self) -> None:
        """Raises Temporary if a loop has ended or keeps failing."""
        for loop, task in zip(self.loops, self.tasks, strict=True):
            if task.done():
                raise Temporary(f"The loop '{loop.name}' has ended.")
            if loop.failures >= FAILURES_TO_BE_ILL:
                raise Temporary(f"The loop '{loop.name}' failed {loop.failures} times in a row.")


@asynccontextmanager
async def running(loops: Sequence[Loop]) -> AsyncIterator[Supervisor]:
    """Runs the loops; at the end they are cancelled and waited for."""
    tasks = [asyncio.create_task(loop.run(), name=loop.name) for loop in loops]
    try:
        yield Supervisor(loops, tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
