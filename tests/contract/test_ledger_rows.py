"""The ledger's minutes and hours as rows: one suite on memory, SQLite and PostgreSQL."""

from dataclasses import replace

import pytest

from penstock.domain.errors import AlreadyExists
from penstock.domain.ledger_hour import HourKey, LedgerHour
from penstock.domain.ledger_minute import Key, LedgerMinute, Percentiles, Promise, Totals

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
HOUR = LedgerHour(HourKey(0, "e1", "guide-1"), "guide", 2, 2**41, 850.5, 212.625, MINUTE.totals, "a" * 64)


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
    later = replace(HOUR, key=HourKey(3_600_000, "e0", ""))
    async with store.unit() as unit:
        assert await unit.ledger.last_hour() == 0
        await unit.ledger.add_hours([])
        await unit.ledger.add_hours([later, HOUR])
        with pytest.raises(AlreadyExists):
            await unit.ledger.add_hours([HOUR])
        assert await unit.ledger.hours() == [HOUR, later]
        assert await unit.ledger.last_hour() == 3_600_000


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
