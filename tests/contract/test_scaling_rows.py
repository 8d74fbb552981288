"""Rows of changes of allotments: one suite on memory, SQLite and PostgreSQL."""

from dataclasses import replace

from penstock.domain.scaling import Kind
from penstock.domain.scaling_record import ScalingRecord

FIRST = ScalingRecord(
    "e1", "guide-1", 1_700_000_000_000, 850.0, 2550.0, Kind.UP, "Demand takes 3 chunks.", 850.0, 1200.5, 2310.25,
    4000.0, 3, 5950.0, 850.0, 8500.0, 4.25, "cpu0, cpu1",
)  # fmt: skip


async def test_a_change_comes_back_as_it_was_added(store):
    async with store.unit() as unit:
        await unit.scaling.add([FIRST])
        await unit.scaling.add([])
    async with store.unit() as unit:
        assert list(await unit.scaling.of("e1")) == [FIRST]
        assert list(await unit.scaling.of("e2")) == []


async def test_adding_again_changes_nothing(store):
    async with store.unit() as unit:
        await unit.scaling.add([FIRST])
        await unit.scaling.add([replace(FIRST, new=0.0), replace(FIRST, entity="other")])
        assert [record.new for record in await unit.scaling.of("e1")] == [2550.0, 2550.0]


async def test_the_newest_of_an_endpoint_come_first(store):
    records = [replace(FIRST, at=number) for number in range(5)]
    async with store.unit() as unit:
        await unit.scaling.add([*records, replace(FIRST, endpoint_id="e2")])
        assert [record.at for record in await unit.scaling.of("e1", limit=3)] == [4, 3, 2]


async def test_old_changes_are_forgotten(store):
    async with store.unit() as unit:
        await unit.scaling.add([replace(FIRST, at=number) for number in range(5)])
        assert await unit.scaling.sweep(3) == 3
        assert [record.at for record in await unit.scaling.of("e1")] == [4, 3]
        assert await unit.scaling.sweep(3) == 0
