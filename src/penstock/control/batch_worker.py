"""Runs batches, a few at a time, oldest first; takes them up again after a death of the process."""

import asyncio
import logging

from penstock.control.batch_rounds import BatchRound, file_ids
from penstock.domain.errors import Temporary

_log = logging.getLogger(__name__)


class BatchWorker:
    """A loop's step starts what is to be run and notes what has ended."""

    def __init__(self, work: BatchRound) -> None:
        self._work = work
        self._running: dict[str, asyncio.Task[str]] = {}

    async def recover(self) -> None:
        """Removes the contents that a death of the process left without an owner. Before anything is uploaded."""
        async with self._work.store.unit() as unit:
            batches = frozenset(batch.id for batch in await unit.batches.open())
            files = await unit.batches.file_ids()
        ours = frozenset(file_id for batch_id in batches for file_id in file_ids(batch_id))
        await self._work.files.sweep(files | ours, batches)

    async def step(self) -> str:
        """Starts batches and says which have ended."""
        ended = [sentence for sentence in map(self._reap, list(self._running)) if sentence]
        async with self._work.store.unit() as unit:
            found = await unit.batches.open()
        for batch in found:
            if len(self._running) >= self._work.limits.running:
                break
            if batch.id not in self._running:
                self._running[batch.id] = asyncio.create_task(self._work.run(batch.id), name=batch.id)
        return "; ".join(ended)

    def _reap(self, batch_id: str) -> str:
        """What became of a batch; one that stopped on the way is started again by the next steps."""
        task = self._running[batch_id]
        if not task.done():
            return ""
        del self._running[batch_id]
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Temporary):
            return f"batch {batch_id} goes on later: {error.message}"
        if error is not None:
            _log.error("batch %s stopped and is tried again", batch_id, exc_info=error)
            return ""
        return "" if task.cancelled() else task.result()

    async def close(self) -> None:
        """Stops. What is done is kept."""
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        self._running.clear()
