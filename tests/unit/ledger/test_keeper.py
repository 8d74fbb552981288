"""The loop that stores the ledger."""

import pytest

from penstock.control.ledger import LedgerKeeper
from penstock.control.ledger_minutes import LedgerMinutes
from penstock.domain.errors import Temporary
from penstock.domain.usage import RequestOutcome, RequestRecord, Usage
from penstock.testing.clock import FakeClock
from penstock.testing.journal import FakeJournal
from penstock.testing.store import FakeStore


def record(name):
    return RequestRecord(
        name, "e1", "guide", "guide-1", "r1", "ann", "llm/v1/chat", False, 1, RequestOutcome.COMPLETED, 200,
        Usage(), 0, 0, 0,
    )  # fmt: skip


def keeper_of(journal, store):
    return LedgerKeeper(journal, store, LedgerMinutes(store, FakeClock(), lambda: ()))


async def test_what_ended_is_stored_once():
    journal, store = FakeJournal(), FakeStore()
    keeper = keeper_of(journal, store)
    assert await keeper.step() == ""
    for name in "abc":
        journal.ended(record(name))
    assert await keeper.step() == "stored 3 ended requests"
    assert set(store.rows.requests.by_id) == set("abc")
    assert await keeper.step() == ""


async def test_while_the_database_is_away_nothing_is_lost():
    journal, store = FakeJournal(), FakeStore()
    keeper = keeper_of(journal, store)
    journal.ended(record("a"))
    store.away = True
    with pytest.raises(Temporary):
        await keeper.step()
    journal.ended(record("b"))
    store.away = False
    assert await keeper.step() == "stored 2 ended requests, closed 1 minutes"
    assert list(store.rows.requests.by_id) == ["a", "b"]
