"""The ledger's minutes and hours as rows: one suite on memory, SQLite and PostgreSQL."""

from dataclasses import replace

import pytest

from penstock.domain.errors import AlreadyExists
from penstock.domain.ledger_checkpoint import Checkpoint, Part
from penstock.domain.ledger_hour import HourKey, LedgerHour
from penstock.domain.ledger_minute import Key, LedgerMinute, Percentiles
from penstock.domain.ledger_sums import Promise, Totals

MINUTE = LedgerMinute(
    1,
    Key(60_000, "e1", "guide-1"),
    "guide",
    Promise(2**40, 850.5, 212.625, 59_000),
    Totals(2**41, 2**40, 2**39 + 1, 10, 5, 1, 2, 2, 1, 2**33, 7, 3, 4),
    Percentiles(1.125, 2.1, 1 / 3),
    Percentiles(),
    Percentiles(0.1, 0.2, 0.3),
    (('"odd" reason', 1), ("zu viel: 3 \u00b5s", 1)),
    "d" * 64,
    "0" * 64,
    "f" * 64,
)
SECOND = replace(MINUTE, number=2, key=Key(120_000, "e1", "guide-1"))
THIRD = replace(MINUTE, number=3, key=Key(120_000, "e2", ""), endpoint_name="other")
HOUR = LedgerHour(
    1,
    HourKey(0, "e1", "guide-1"),
    "guide",
    2,
    Promise(2**41, 850.5, 212.625, 3_600_000),
    4,
    MINUTE.totals,
    "a" * 64,
    "0" * 64,
    "b" * 64,
)
LATER = replace(HOUR, number=2, key=HourKey(3_600_000, "e0", ""), endpoint_name="other")


async def test_minutes_come_back_as_they_were_added(store):
    async with store.unit() as unit:
        assert await unit.ledger.last() is None
        assert await unit.ledger.count() == 0
        await unit.ledger.add_minutes([])
        await unit.ledger.add_minutes([MINUTE, SECOND, THIRD])
    async with store.unit() as unit:
        assert await unit.ledger.minutes(0) == [MINUTE, SECOND, THIRD]
        assert await unit.ledger.minutes(1, limit=1) == [SECOND]
        assert await unit.ledger.last() == THIRD
        assert await unit.ledger.count() == 3


async def test_minutes_are_found_by_time_and_by_an_endpoints_name_or_id(store):
    async with store.unit() as unit:
        await unit.ledger.add_minutes([MINUTE, SECOND, THIRD])
        assert await unit.ledger.between(60_000, 120_000) == [MINUTE]
        assert await unit.ledger.between(0, 180_000, "guide") == [MINUTE, SECOND]
        assert await unit.ledger.between(0, 180_000, "e2") == [THIRD]


@pytest.mark.parametrize("again", [replace(MINUTE, number=9), replace(THIRD, number=1)])
async def test_a_minute_is_added_once(store, again):
    async with store.unit() as unit:
        await unit.ledger.add_minutes([MINUTE])
        with pytest.raises(AlreadyExists):
            await unit.ledger.add_minutes([SECOND, again])
        assert await unit.ledger.minutes(0) == [MINUTE]


async def test_hours_come_back_as_they_were_added(store):
    async with store.unit() as unit:
        assert await unit.ledger.last_hour() is None
        assert await unit.ledger.last_hour_before(10) is None
        await unit.ledger.add_hours([])
        await unit.ledger.add_hours([LATER, HOUR])
        for again in (replace(HOUR, number=9), replace(HOUR, key=HourKey(7_200_000, "e0", ""))):
            with pytest.raises(AlreadyExists):
                await unit.ledger.add_hours([again])
        assert await unit.ledger.hours(0) == [HOUR, LATER]
        assert await unit.ledger.hours(0, limit=1) == [HOUR]
        assert await unit.ledger.hours(1) == [LATER]
        assert await unit.ledger.last_hour() == LATER
        assert await unit.ledger.last_hour_before(3_600_000) == HOUR
        assert await unit.ledger.hours_between(0, 3_600_000) == [HOUR]
        assert await unit.ledger.hours_between(0, 7_200_000, "other") == [LATER]


async def test_the_last_minute_before_another_and_the_names_of_endpoints_are_found(store):
    async with store.unit() as unit:
        assert await unit.ledger.last_before(60_000) is None
        await unit.ledger.add_minutes([MINUTE, SECOND, THIRD])
        await unit.ledger.add_hours([replace(HOUR, key=HourKey(0, "e9", ""), endpoint_name="gone")])
        assert await unit.ledger.last_before(60_000) is None
        assert await unit.ledger.last_before(120_000) == MINUTE
        assert await unit.ledger.last_before(2**45) == THIRD
        assert await unit.ledger.endpoints() == {"e1": "guide", "e2": "other", "e9": "gone"}
        assert await unit.ledger.count() == 4


async def test_old_rows_are_removed_by_number_the_first_of_them_first(store):
    async with store.unit() as unit:
        await unit.ledger.add_minutes([MINUTE, SECOND, THIRD])
        await unit.ledger.add_hours([HOUR, LATER])
        assert await unit.ledger.remove(Part.MINUTES, 2, limit=1) == 1
        assert await unit.ledger.minutes(0) == [SECOND, THIRD]
        assert await unit.ledger.remove(Part.MINUTES, 2, limit=5) == 1
        assert await unit.ledger.remove(Part.MINUTES, 2, limit=5) == 0
        assert await unit.ledger.minutes(0) == [THIRD]
        assert await unit.ledger.remove(Part.HOURS, 1, limit=5) == 1
        assert await unit.ledger.hours(0) == [LATER]


async def test_a_checkpoint_takes_the_place_of_the_one_of_its_part(store):
    first = Checkpoint(Part.REQUESTS, 2**41, 7, "a" * 64, 2**42).sealed()
    other = Checkpoint(Part.HOURS, 5, 6, "b" * 64, 7).sealed()
    async with store.unit() as unit:
        assert await unit.ledger.checkpoints() == {}
        await unit.ledger.set_checkpoint(first)
        await unit.ledger.set_checkpoint(other)
        later = replace(first, until=2**41 + 60_000, number=9).sealed()
        await unit.ledger.set_checkpoint(later)
    async with store.unit() as unit:
        assert await unit.ledger.checkpoints() == {Part.HOURS: other, Part.REQUESTS: later}


async def test_a_promise_is_kept_over_the_one_before_until_it_is_forgotten(store):
    first, second = Key(60_000, "e1", "guide-1"), Key(120_000, "e1", "guide-1")
    async with store.unit() as unit:
        await unit.ledger.set_promises({})
        await unit.ledger.set_promises({first: Promise(1, 2.5, 3.5, 4), second: Promise(5, 6, 7, 8)})
        await unit.ledger.set_promises({first: Promise(2**40, 2.5, 3.5, 60_000)})
    async with store.unit() as unit:
        assert await unit.ledger.promises() == {first: Promise(2**40, 2.5, 3.5, 60_000), second: Promise(5, 6, 7, 8)}
        await unit.ledger.forget_promises(120_000)
        assert list(await unit.ledger.promises()) == [second]
