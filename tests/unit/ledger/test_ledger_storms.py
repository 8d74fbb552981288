"""Whatever is killed and whenever the database is away: each request counts once, and the ledger verifies."""

import asyncio
import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_requests import HOUR, request

from penstock.control.ledger import LedgerKeeper
from penstock.control.ledger_audit import verify
from penstock.control.ledger_minutes import LedgerMinutes
from penstock.control.ledger_retention import Keep, Retention
from penstock.domain.errors import Temporary
from penstock.domain.ledger_checkpoint import Part
from penstock.ports.capacity import Reading
from penstock.testing.clock import FakeClock
from penstock.testing.journal import FakeJournal
from penstock.testing.store import FakeStore

READING = Reading("e1", "guide-1", 0, 0, 0, 0, 0, 600.0, 0, 1200, 6000, 300, 0)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.integers(1, 400)),
        st.tuples(st.just("request"), st.integers(0, 900)),
        st.tuples(st.just("late"), st.integers(0, 4000)),
        st.tuples(st.just("again"), st.just(0)),
        st.tuples(st.just("kill"), st.just(0)),
        st.tuples(st.just("away"), st.integers(0, 1)),
    ),
    max_size=40,
)
KEEP = Keep(1 / 24, 2 / 24, 3 / 24)
PRUNED_EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.integers(1, 9000)),
        st.tuples(st.just("request"), st.integers(0, 9000)),
        st.tuples(st.just("late"), st.integers(0, 20_000)),
        st.tuples(st.just("prune"), st.just(0)),
        st.tuples(st.just("kill"), st.just(0)),
        st.tuples(st.just("away"), st.integers(0, 1)),
    ),
    max_size=40,
)


async def _storm(events):
    store, clock, journal = FakeStore(), FakeClock(HOUR + 3_300_000), FakeJournal()
    sent = []

    def fresh():
        return LedgerKeeper(journal, store, LedgerMinutes(store, clock, lambda: [READING]))

    keeper = fresh()
    for kind, number in [*events, ("away", 0), ("pass", 60), ("pass", 7200), ("pass", 1)]:
        if kind == "pass":
            await clock.advance(number)
        elif kind in {"request", "late"}:
            # a late one is told of long after it ended, as those that a kill cut off
            began = clock.now_ms() - number * 1000
            sent.append(request(str(len(sent)), began, float(number) if kind == "request" else 0.0))
            journal.ended(sent[-1])
        elif kind == "again" and sent:
            # stored before a kill, and the journal was not told
            journal.ended(sent[-1])
        elif kind == "kill":
            keeper = fresh()
        elif kind == "away":
            store.away = bool(number)
        elif kind == "prune":
            with contextlib.suppress(Temporary):
                await Retention(store, clock, KEEP).step()
        with contextlib.suppress(Temporary):
            await keeper.step()
    return store, sent


@settings(max_examples=150, deadline=None)
@given(events=EVENTS)
def test_the_ledger_counts_each_request_once_and_verifies(events):
    async def run():
        store, sent = await _storm(events)
        async with store.unit() as unit:
            verdict = await verify(unit)
        rows = store.rows.ledger.by_number.values()
        assert verdict.findings == []
        assert verdict.pending == 0
        assert sum(row.totals.requests for row in rows) == len(sent) == verdict.requests
        assert sum(row.totals.attained_milli for row in rows) == 100_000 * len(sent)
        assert sum(hour.totals.requests for hour in store.rows.ledger.by_hour.values()) == len(sent)

    asyncio.run(run())


@settings(max_examples=50, deadline=None)
@given(events=PRUNED_EVENTS)
def test_what_retention_leaves_verifies(events):
    async def run():
        store, _ = await _storm([*events, ("prune", 0)])
        async with store.unit() as unit:
            verdict = await verify(unit)
            assert verdict.findings == []
            oldest = [record.minute for record in await unit.requests.in_ledger((0, ""), limit=1)]
            if oldest and Part.REQUESTS in verdict.checkpoints:
                assert oldest[0] >= verdict.checkpoints[Part.REQUESTS].until

    asyncio.run(run())
