"""The request ledger's way into the database: a loop that moves what has ended, and closes minutes that are over."""

from collections.abc import Callable, Sequence

from penstock.control.ledger_minutes import LedgerMinutes
from penstock.domain.usage import RequestRecord
from penstock.ports.journal import Journal
from penstock.ports.store import Store


class LedgerKeeper:
    """Stores ended requests in batches; what the database does not take stays in the journal."""

    def __init__(self, journal: Journal, store: Store, minutes: LedgerMinutes) -> None:
        self._journal = journal
        self._store = store
        self._minutes = minutes
        self._hearers: list[Callable[[Sequence[RequestRecord]], None]] = []

    def on_stored(self, *hearers: Callable[[Sequence[RequestRecord]], None]) -> None:
        """Has them called with requests that have been stored."""
        self._hearers.extend(hearers)

    async def step(self) -> str:
        """Moves all that has ended until now; raises Temporary while the database is away."""
        done = False
        try:
            self._minutes.sample()
            moved = await self._move()
            await self._minutes.keep()
            closed = await self._minutes.close()
            done = True
        finally:
            if not done:
                self._minutes.doubt()
        told = [f"stored {moved} ended requests" if moved else "", closed]
        return ", ".join(sentence for sentence in told if sentence)

    async def finish(self) -> None:
        """The last step: keeps also what is known of minutes that are not over."""
        await self.step()
        await self._minutes.keep(now=True)

    async def _move(self) -> int:
        moved = 0
        await self._minutes.resume()
        while records := self._journal.take():
            placed = self._minutes.placed(records)
            async with self._store.unit() as unit:
                added = await unit.requests.add(placed)
            self._journal.stored(len(records))
            self._minutes.stored(placed, added)
            for hear in self._hearers:
                hear(records)
            moved += len(records)
            await self._minutes.resume()
        return moved
