"""Old rows of the ledger go in small batches, and what is left can still be proven."""

import asyncio
import re
import sqlite3

import pytest
from ledger_requests import HOUR, refused, request

from penstock.adapters.store.reader import SqlReader
from penstock.adapters.store.store import SqlStore
from penstock.control.ledger import LedgerKeeper
from penstock.control.ledger_audit import verify
from penstock.control.ledger_minutes import LedgerMinutes
from penstock.control.ledger_period import rows_of
from penstock.control.ledger_retention import BATCH, Keep, Retention
from penstock.domain.billing import Price, Prices, bill
from penstock.domain.errors import InvalidParameter
from penstock.domain.ledger_checkpoint import Part
from penstock.domain.ledger_entry import MINUTE_MS
from penstock.domain.ledger_hour import HOUR_MS
from penstock.ports.capacity import Reading
from penstock.testing.clock import FakeClock
from penstock.testing.journal import FakeJournal
from penstock.testing.store import FakeStore

READING = Reading("e1", "guide-1", 0, 0, 0, 0, 0, 600.0, 0, 1200, 6000, 300, 0)
HOUR_DAYS = 1 / 24


class World:
    """A ledger of some hours, two requests a minute, and a longer one across the beginning of each hour."""

    def __init__(self, store):
        self.store, self.clock, self.journal = store, FakeClock(HOUR), FakeJournal()
        self.reading = READING
        self.keeper = self.fresh()

    def fresh(self):
        return LedgerKeeper(self.journal, self.store, LedgerMinutes(self.store, self.clock, lambda: [self.reading]))

    async def hours(self, count):
        for minute in range(60 * count):
            at = self.clock.now_ms()
            self.journal.ended(request(f"a{at}", at + 1000))
            self.journal.ended(request(f"b{at}", at + 20_000, 70.0, reference_tokens=1 / 3))
            if minute % 60 == 59:
                self.journal.ended(refused(f"no{at}", at + 5000))
                self.journal.ended(request(f"long{at}", at + 5000, 180.0))
            await self.clock.advance(60)
            await self.keeper.step()

    async def prune(self, requests, minutes=0.0, hours=0.0):
        """Keeps so many hours of each; returns what was said."""
        keep = Keep(requests * HOUR_DAYS, minutes * HOUR_DAYS, hours * HOUR_DAYS)
        step = asyncio.create_task(Retention(self.store, self.clock, keep).step())
        while not step.done():
            await self.clock.advance(1)
            await asyncio.sleep(0)
        return step.result()

    async def verdict(self, noted=None):
        async with self.store.unit() as unit:
            return await verify(unit, noted)


async def _six_hours():
    made = World(FakeStore())
    await made.hours(6)
    return made


@pytest.fixture(scope="module")
def six_hours():
    return asyncio.run(_six_hours())


@pytest.fixture
def world(six_hours):
    made = World(FakeStore())
    made.store.rows = six_hours.store.rows.copy()
    made.clock = FakeClock(six_hours.clock.now_ms())
    made.keeper = made.fresh()
    return made


async def test_nothing_is_taken_before_it_is_old(world):
    before = world.store.rows.copy()
    assert await world.prune(0) == ""
    assert await world.prune(24, 24, 24) == ""
    assert world.store.rows.requests.by_id == before.requests.by_id
    assert world.store.rows.ledger == before.ledger


async def test_requests_go_and_the_minutes_that_are_left_with_theirs_are_proven(world):
    head = (await world.verdict()).head
    said = await world.prune(2)
    assert re.fullmatch(r"removed old rows of the ledger: \d+ requests", said)
    since = HOUR + 4 * HOUR_MS
    kept = world.store.rows.requests.by_id.values()
    assert min(record.minute for record in kept) == since
    verdict = await world.verdict(head)
    assert verdict.findings == []
    assert verdict.checkpoints[Part.REQUESTS].until == since
    assert verdict.requests == len(kept)
    assert verdict.head == head
    assert await world.prune(2) == ""


async def test_minutes_and_hours_go_too_and_the_chains_go_on(world):
    before = await world.verdict()
    await world.prune(1, 3, 4)
    rows = world.store.rows.ledger
    assert min(row.key.minute for row in rows.by_number.values()) == HOUR + 3 * HOUR_MS
    assert min(key.hour for key in rows.by_hour) == HOUR + 2 * HOUR_MS
    verdict = await world.verdict(before.head)
    assert verdict.findings == []
    assert (verdict.hours, verdict.head) == (before.hours - 2, before.head)
    world.keeper = world.fresh()
    await world.hours(2)
    await world.prune(1, 3, 4)
    verdict = await world.verdict()
    assert verdict.findings == []
    assert verdict.checkpoints[Part.MINUTES].until == HOUR + 5 * HOUR_MS
    assert verdict.head[0] == before.head[0] + 120


async def test_the_newest_rows_stay_whatever_their_age(world):
    await world.clock.advance(1000 * 3600)
    await world.prune(1, 1, 1)
    rows = world.store.rows.ledger
    assert len(rows.by_number) > 0
    assert len(rows.by_hour) == 1
    assert (await world.verdict()).findings == []
    world.keeper = world.fresh()
    await world.hours(1)
    assert (await world.verdict()).findings == []


async def test_it_goes_in_small_batches_and_on_where_it_was_killed(world):
    keep = Keep(HOUR_DAYS, 0, 0)
    step = asyncio.create_task(Retention(world.store, world.clock, keep).step())
    before = len(world.store.rows.requests.by_id)
    await world.clock.settle()
    assert len(world.store.rows.requests.by_id) == before - BATCH
    step.cancel()
    await asyncio.gather(step, return_exceptions=True)
    # rows that are still there from before the checkpoint count as gone
    assert (await world.verdict()).findings == []
    assert (
        await world.prune(1)
        == f"removed old rows of the ledger: {before - BATCH - len(world.store.rows.requests.by_id)} requests"
    )
    assert (await world.verdict()).findings == []


async def test_requests_of_minutes_that_are_open_stay(world):
    world.journal.ended(request("open", world.clock.now_ms() - 1000, 0.5))
    await world.keeper.step()
    await world.clock.advance(20 * 60)
    await world.prune(1 / 60)
    assert "open" in world.store.rows.requests.by_id


async def test_a_bill_and_rates_by_the_hour_outlive_minutes(world):
    prices = Prices("EUR", {"guide": Price(chunk_hour=1)}, {})
    period = (HOUR, HOUR + 5 * HOUR_MS)
    async with world.store.unit() as unit:
        by_minute = bill(await unit.ledger.between(*period), prices, {})
        assert bill(await rows_of(unit, *period, by_hour=True), prices, {}) == by_minute
    await world.prune(1, 1)
    async with world.store.unit() as unit:
        assert bill(await rows_of(unit, *period, by_hour=True), prices, {}) == by_minute
        mixed = await rows_of(unit, *period, "guide", by_hour=False)
        whole = HOUR + 6 * HOUR_MS
        assert [row.LENGTH_MS for row in mixed] == [HOUR_MS] * 5
        assert len(await rows_of(unit, HOUR + 4 * HOUR_MS, whole, by_hour=False)) > 50
        with pytest.raises(InvalidParameter, match=r"Minutes are kept from .* full hours"):
            await rows_of(unit, HOUR + MINUTE_MS, whole, by_hour=True)
    await world.prune(1, 1, 2)
    async with world.store.unit() as unit:
        with pytest.raises(InvalidParameter, match=r"is kept from .* --from must not be before"):
            await rows_of(unit, *period, by_hour=True)


async def test_hours_are_summed_again_where_they_are_missing(world):
    """As after the change of schema that made them a chain."""
    hours = dict(world.store.rows.ledger.by_hour)
    world.store.rows.ledger.by_hour.clear()
    world.keeper = world.fresh()
    await world.hours(1)
    found = world.store.rows.ledger.by_hour
    assert {key: found[key] for key in hours} == hours
    assert (await world.verdict()).findings == []


@pytest.fixture(scope="module")
def pruned(six_hours, tmp_path_factory):
    """A file of six hours: requests of one, minutes of three, hours of four."""
    file = tmp_path_factory.mktemp("retention") / "penstock.db"

    async def write():
        store = SqlStore(f"sqlite:///{file}")
        await store.open()
        rows = six_hours.store.rows
        async with store.unit() as unit:
            await unit.requests.add(list(rows.requests.by_id.values()))
            await unit.ledger.add_minutes(list(rows.ledger.by_number.values()))
            await unit.ledger.add_hours(list(rows.ledger.by_hour.values()))
        world = World(store)
        world.clock = FakeClock(six_hours.clock.now_ms())
        await world.prune(1, 3, 4)
        await store.close()

    asyncio.run(write())
    return file.read_bytes()


async def found_in(file, noted=None):
    reader = SqlReader(f"sqlite:///{file}")
    try:
        async with reader.unit() as unit:
            return await verify(unit, noted)
    finally:
        await reader.close()


# The last row whose requests are gone is 300; that of minutes 180, that of hours 2.
CHANGES = [
    (
        "UPDATE ledger_minutes SET attained_milli = attained_milli + 1 WHERE number = 200",
        "^row 200 .*not what was hashed",
    ),
    ("UPDATE ledger_minutes SET requests_digest = 'x' WHERE number = 200", "^row 200 .*not what was hashed"),
    ("DELETE FROM ledger_minutes WHERE number = 200", "^row 200 is missing"),
    ("DELETE FROM ledger_minutes WHERE number = 181", "^row 181 is missing"),
    ("UPDATE ledger_minutes SET previous = 'x' WHERE number = 181", "^row 181 .*not chained to the row before"),
    ("UPDATE ledger_minutes SET hash = 'x' WHERE number = 300", "^row 300 .*for which its requests were taken"),
    ("DELETE FROM requests WHERE minute = (SELECT min(minute) FROM requests)", "^row 301 .*written for . requests, 0"),
    ("UPDATE requests SET status = 201 WHERE request_id LIKE 'a%'", "^request a.*: its row is not what was written"),
    ("UPDATE ledger_hours SET completed = completed + 1 WHERE number = 3", "^hour .*not what was hashed"),
    ("UPDATE ledger_hours SET chunks = chunks + 1 WHERE number = 4", "^hour .*chunks is 3, its minutes give 2"),
    ("DELETE FROM ledger_hours WHERE number = 3", "^hour row 3 is missing"),
    ("UPDATE ledger_checkpoints SET until = until + 3600000 WHERE part = 'requests'", "^checkpoint of requests: "),
    ("UPDATE ledger_checkpoints SET number = 200 WHERE part = 'minutes'", "^checkpoint of minutes: "),
    ("DELETE FROM ledger_checkpoints WHERE part = 'minutes'", "^rows 1 to 180 are missing"),
    ("DELETE FROM ledger_checkpoints WHERE part = 'requests'", "^row 181 .*written for . requests, 0 are there"),
    ("DELETE FROM ledger_checkpoints WHERE part = 'hours'", "^hour rows 1 to 2 are missing"),
]


@pytest.mark.parametrize(("statement", "named"), CHANGES)
async def test_a_change_after_retention_is_found_and_named(pruned, tmp_path, statement, named):
    file = tmp_path / "penstock.db"
    file.write_bytes(pruned)
    assert (await found_in(file)).findings == []
    with sqlite3.connect(file) as connection:
        assert connection.execute(statement).rowcount > 0
    connection.close()
    findings = (await found_in(file)).findings
    assert [finding for finding in findings if re.search(named, finding)], findings


async def test_a_noted_row_that_retention_took_is_not_passed_over(pruned, tmp_path):
    file = tmp_path / "penstock.db"
    file.write_bytes(pruned)
    assert "row 5, which was noted, was taken by retention" in (await found_in(file, (5, "x"))).findings[0]
    last_gone = (await found_in(file)).checkpoints[Part.MINUTES].link
    assert (await found_in(file, last_gone)).findings == []
    assert (await found_in(file, (last_gone[0], "x"))).findings
