"""The ledger's minutes: where requests count, how rows are chained, what a kill leaves."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_requests import HOUR, NOON, refused, request

from penstock.control.ledger import LedgerKeeper
from penstock.control.ledger_minutes import LedgerMinutes
from penstock.domain.errors import Temporary
from penstock.domain.ledger_chain import GENESIS, hash_of
from penstock.domain.ledger_entry import MINUTE_MS, digest_of, entered, portions
from penstock.domain.ledger_minute import Key, Percentiles, percentiles
from penstock.domain.ledger_tally import Digests
from penstock.domain.usage import RequestOutcome
from penstock.ports.capacity import Reading
from penstock.testing.clock import FakeClock
from penstock.testing.journal import FakeJournal
from penstock.testing.store import FakeStore

PROMISED = Reading("e1", "guide-1", 0, 0, 0, 0, 0, 600.0, 0, 1200, 6000, 300, 0)


class World:
    """A keeper on fakes in virtual time."""

    def __init__(self, at=NOON, store=None):
        self.clock = FakeClock(at)
        self.store = store or FakeStore()
        self.journal = FakeJournal()
        self.readings = []
        self.keeper = self.fresh()

    def fresh(self):
        return LedgerKeeper(self.journal, self.store, LedgerMinutes(self.store, self.clock, lambda: self.readings))

    async def run(self, seconds):
        for _ in range(seconds):
            await self.clock.advance(1)
            await self.keeper.step()

    @property
    def rows(self):
        return list(self.store.rows.ledger.by_number.values())


def row_of(world, minute, entity="guide-1"):
    return next(row for row in world.rows if row.key == Key(minute, "e1", entity))


async def test_a_minute_tells_what_its_requests_add_up_to():
    world = World()
    world.journal.ended(request("a", NOON + 1000))
    world.journal.ended(request("b", NOON + 2000, 10.0, priority="shared", outcome=RequestOutcome.CANCELLED))
    world.journal.ended(request("c", NOON + 3000, outcome=RequestOutcome.FAILED))
    world.journal.ended(request("d", NOON + 3000, outcome=RequestOutcome.FAILED, within=False))
    world.journal.ended(refused("e", NOON + 4000))
    await world.run(179)
    assert world.rows == []
    await world.run(1)
    row = row_of(world, NOON)
    assert (row.offered, row.admitted, row.attained) == (600 / 60, 480 / 60, 400 / 60)
    totals = row.totals
    assert (totals.requests, totals.completed, totals.failed, totals.cancelled, totals.rejected) == (5, 1, 2, 1, 1)
    assert (totals.breaches, totals.metered_prompt_tokens, totals.metered_completion_tokens) == (1, 80, 21)
    assert (totals.prompt_tokens, totals.completion_tokens) == (320, 84)
    assert row.refusals == (("too much", 1),)
    assert row.ttft == Percentiles(1000, 1000, 1000)
    assert row.tpot == Percentiles(50, 450, 450)
    assert row.queue == Percentiles(500, 500, 500)


async def test_a_long_request_counts_while_it_ran():
    world = World()
    await world.run(90)
    # half a second in the queue, then 90 s: 29.5 in the first minute, 60 in the next and 0.5 in the third
    world.journal.ended(request("a", NOON + 30_000, 90.5))
    await world.run(270)
    assert [row.totals.attained_milli for row in world.rows] == [32_777, 66_667, 556]
    assert [row.totals.requests for row in world.rows] == [0, 0, 1]
    assert [row.totals.offered_milli for row in world.rows] == [120_000, 0, 0]


async def test_what_comes_after_a_minute_is_closed_counts_in_the_first_that_is_open():
    world = World()
    world.journal.ended(request("a"))
    await world.run(240)
    world.journal.ended(request("late", NOON - 600_000, 630.0))
    await world.run(120)
    before, after = world.rows
    assert before.totals.requests == after.totals.requests == 1
    assert after.key.minute == NOON + 2 * MINUTE_MS
    assert after.totals.attained_milli == 100_000
    assert after.totals.offered_milli == 120_000


async def test_rows_are_chained():
    world = World()
    for number in range(5):
        world.journal.ended(request(str(number), NOON + number * 70_000))
    await world.run(600)
    previous = GENESIS
    for number, row in enumerate(world.rows, 1):
        assert (row.number, row.previous, row.hash) == (number, previous, hash_of(row))
        previous = row.hash
    assert len(world.rows) == 5


async def test_a_promise_is_its_average_over_the_minute():
    world = World()
    world.readings = [PROMISED]
    await world.run(31)
    world.readings = [replace(PROMISED, allotment=1200.0)]
    await world.run(210)
    first, second = world.rows[:2]
    # looked at each second from the second one on, so that one more second than told has the old value
    assert first.promised == pytest.approx((600 * 30 + 1200 * 28) / 60)
    assert (first.promise.peak, first.promise.chunk, first.promise.known_ms) == (1200, 300, 58_000)
    assert (second.promised, second.promise.known_ms) == (1200, 60_000)
    assert second.attained == 0


async def test_nothing_promised_and_nothing_asked_is_no_row():
    world = World()
    world.readings = [replace(PROMISED, allotment=0.0)]
    await world.run(400)
    assert world.rows == []
    assert {key.minute for key in world.store.rows.ledger.promised} <= {NOON + n * MINUTE_MS for n in (4, 5, 6)}


async def test_after_a_kill_open_minutes_are_counted_from_the_rows():
    world = World()
    world.readings = [PROMISED]
    world.journal.ended(request("a", NOON + 1000))
    await world.run(200)
    world.journal.ended(request("b", NOON + 199_000, 1.0))
    await world.run(25)
    killed = World(NOON + 5_000_000, world.store)
    killed.journal = world.journal
    killed.keeper = killed.fresh()
    killed.journal.ended(request("c", NOON + 210_000))
    await killed.run(2)
    minute = row_of(killed, NOON + 3 * MINUTE_MS)
    assert (minute.totals.requests, minute.totals.attained_milli) == (2, 200_000)
    assert 30_000 <= minute.promise.known_ms <= 45_000
    assert [row.number for row in killed.rows] == list(range(1, len(killed.rows) + 1))


async def test_a_database_that_goes_away_changes_no_row():
    world, quiet = World(), World()
    for one in (world, quiet):
        one.journal.ended(request("a", NOON + 1000))
        await one.run(110)
        one.journal.ended(request("b", NOON + 50_000, 60.0))
    await quiet.run(400)
    world.store.away = True
    for _ in range(5):
        with pytest.raises(Temporary):
            await world.run(30)
    world.store.away = False
    await world.run(400)
    assert world.rows == quiet.rows


async def test_a_record_that_was_stored_before_a_kill_is_counted_once():
    world = World()
    world.journal.ended(request("a"))
    await world.run(1)
    # the journal was not told that it was stored
    world.journal.ended(request("a"))
    await world.run(200)
    assert [row.totals.requests for row in world.rows] == [1]


async def test_hours_are_the_sums_of_their_minutes():
    world = World(HOUR)
    world.readings = [PROMISED]
    for number in range(61):
        world.journal.ended(request(str(number), HOUR + number * MINUTE_MS))
    await world.run(3600 + 119)
    assert world.store.rows.ledger.by_hour == {}
    await world.run(1)
    (hour,) = world.store.rows.ledger.by_hour.values()
    assert (hour.key, hour.minutes, hour.totals.requests) == ((HOUR, "e1", "guide-1"), 60, 60)
    assert hour.promised == pytest.approx(600, rel=0.001)
    assert (hour.promise.peak, hour.promise.chunk, hour.chunks) == (600, 300, 2)


@given(
    at=st.integers(0, 10**7),
    queue=st.floats(0, 10**5),
    ran=st.floats(0, 10**6),
    tokens=st.floats(0, 10**6),
    open_from=st.integers(0, 200).map(lambda minute: minute * MINUTE_MS),
)
def test_what_a_request_used_is_spread_whole_over_open_minutes(at, queue, ran, tokens, open_from):
    given_record = request("a", at, queue_ms=queue, duration_ms=queue + ran, reference_tokens=tokens)
    record = entered(given_record, open_from)
    parts = list(portions(record))
    assert sum(milli for _, milli in parts) == round(tokens * 1000)
    assert all(milli >= 0 for _, milli in parts)
    assert min(minute for minute, _ in parts) >= open_from
    assert max(minute for minute, _ in parts) == record.minute


def test_a_digest_covers_every_field():
    record = entered(request("a"), 0)
    for name in set(type(record).__slots__) - {"digest"}:
        value = getattr(record, name)
        other = {
            str: lambda: "other",
            bool: lambda value=value: not value,
            int: lambda value=value: value + 1,
            float: lambda value=value: value + 0.001,
        }.get(type(value))
        changed = replace(record, **{name: other()}) if other else None
        if name == "usage":
            changed = replace(record, usage=replace(value, cached_tokens=1))
        if name == "outcome":
            changed = replace(record, outcome=RequestOutcome.FAILED)
        assert digest_of(changed) != record.digest, name


def test_percentiles_are_values_that_were_measured():
    assert percentiles([]) == Percentiles(-1, -1, -1)
    assert percentiles([float(n) for n in range(1, 101)][::-1]) == Percentiles(50, 95, 99)
    assert percentiles([3.0, 1.0]) == Percentiles(1, 3, 3)


@pytest.mark.parametrize("hours", [1, -1])
async def test_a_clock_that_is_set_leaves_minutes_in_order_and_promises_as_long_as_they_were(hours):
    world = World()
    world.readings = [PROMISED]
    await world.run(200)
    world.journal.ended(request("before", world.clock.now_ms() - 2000))
    await world.run(1)
    world.clock.jump(hours * 3600)
    await world.run(300)
    world.journal.ended(request("between", world.clock.now_ms() - 2000))
    await world.run(1)
    world.clock.jump(-hours * 3600)
    await world.run(300)
    world.journal.ended(request("after", world.clock.now_ms() - 2000))
    for _ in range(75):
        await world.clock.advance(60)
        await world.keeper.step()
    minutes = [row.key.minute for row in world.rows]
    assert minutes == sorted(set(minutes))
    previous = GENESIS
    for number, row in enumerate(world.rows, 1):
        assert (row.number, row.previous, row.hash) == (number, previous, hash_of(row))
        previous = row.hash
        assert row.promise.known_ms <= 60_000
    assert sum(row.totals.requests for row in world.rows) == 3
    assert sum(row.totals.attained_milli for row in world.rows) == 300_000
    passed_ms = world.clock.monotonic() * 1000
    assert sum(row.promise.known_ms for row in world.rows) <= passed_ms + 1000


def test_digests_of_a_minute_are_told_as_they_were_given():
    kept = Digests()
    told = ["0f" * 32, "no digest", "A" * 64, "ab" * 32, ""]
    for one in told:
        kept.add(one)
    assert sorted(kept) == sorted(told)
