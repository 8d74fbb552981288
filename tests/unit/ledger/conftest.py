"""A ledger in a real file."""

import asyncio

import pytest
from ledger_requests import HOUR, refused, request

from penstock.adapters.store.store import SqlStore
from penstock.control.ledger import LedgerKeeper
from penstock.control.ledger_minutes import LedgerMinutes
from penstock.domain.ledger_entry import MINUTE_MS
from penstock.domain.usage import Usage
from penstock.ports.capacity import Reading
from penstock.testing.clock import FakeClock
from penstock.testing.journal import FakeJournal

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
READING = Reading("e1", "guide-1", 0, 0, 0, 0, 0, 600.0, 0, 1200, 6000, 300, 0)


async def _written(file):
    """An hour and some minutes of two requests a minute, one refusal, and a request of three minutes."""
    store, clock, journal = SqlStore(f"sqlite:///{file}"), FakeClock(HOUR), FakeJournal()
    await store.open()
    keeper = LedgerKeeper(journal, store, LedgerMinutes(store, clock, lambda: [READING]))
    for minute in range(65):
        at = HOUR + minute * MINUTE_MS
        journal.ended(request(f"a{minute}", at + 1000))
        journal.ended(request(f"b{minute}", at + 20_000, 70.0, reference_tokens=1 / 3))
        if minute == 3:
            journal.ended(refused("no", at + 5000))
            used = Usage(80, 21, 0, 0.25)
            journal.ended(request("long", at + 5000, 180.0, usage=used, decision="lent: at once", trace_id=TRACE))
        await clock.advance(60)
        await keeper.step()
    await keeper.finish()
    await store.close()


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    file = tmp_path_factory.mktemp("ledger") / "penstock.db"
    asyncio.run(_written(file))
    return file.read_bytes()


@pytest.fixture
def file(written, tmp_path):
    path = tmp_path / "penstock.db"
    path.write_bytes(written)
    return path
