"""The request ledger's way into the database: a loop that moves what has ended."""

from penstock.ports.journal import Journal
from penstock.ports.store import Store


class LedgerKeeper:
    """Stores ended requests in batches; what the database does not take stays in the journal."""

    def __init__(self, journal: Journal, store: Store) -> None:
        self._journal = journal
        self._store = store

    async def step(self) -> str:
        """Moves all that has ended until now; raises Temporary while the database is away."""
        moved = 0
        while records := self._journal.take():
            async with self._store.unit() as unit:
                await unit.requests.add(records)
            self._journal.stored(len(records))
            moved += len(records)
        return f"stored {moved} ended requests" if moved else ""
