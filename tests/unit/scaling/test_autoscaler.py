"""The autoscaler over a gate of hand-set readings, in virtual time."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.control.autoscaler import Autoscaler
from penstock.control.scaling_history import ScalingHistory
from penstock.domain.errors import Temporary
from penstock.domain.scaling import Kind, Policy
from penstock.domain.scaling_room import Part
from penstock.ports.capacity import Reading
from penstock.ports.expansion import Outlook
from penstock.testing.capacity import FakeCapacity, FakeExpansion
from penstock.testing.clock import FakeClock
from penstock.testing.store import FakeStore


def reading(endpoint, **changes):
    """An entity of one chunk of 100 tokens/s, on a device that does 1,000 and sells 900."""
    base = Reading(
        endpoint_id=endpoint, entity="m-1", arrived=0.0, attained=0.0, backlog=0.0, waiting=0, in_flight=0,
        allotment=100.0, minimum=100.0, maximum=900.0, throughput=1000.0, chunk=100.0, predicted_wait_s=0.0,
        chunk_share=0.1,
    )  # fmt: skip
    made = replace(base, **changes)
    return made if made.parts else replace(made, parts=(Part("", made.minimum, made.allotment),))


def with_minimum(one, minimum):
    """The reading after an update has raised its minimum, before the gate has given it any more."""
    [part] = one.parts
    return replace(one, minimum=minimum, parts=(replace(part, floor=minimum),))


class World:
    """An autoscaler, its gate and its clock."""

    def __init__(self, *readings):
        self.clock = FakeClock()
        self.capacity = FakeCapacity(*readings)
        self.expansion = FakeExpansion()
        self.autoscaler = Autoscaler(self.capacity, self.expansion, self.clock, Policy())

    async def run(self, seconds, **rates):
        """Steps once a second while endpoints are offered so many tokens a second."""
        for _ in range(seconds):
            for endpoint, rate in rates.items():
                self.capacity.offer(endpoint, "m-1", rate)
            await self.autoscaler.step()
            await self.clock.advance(1)

    def allotment(self, endpoint):
        return next(one.allotment for one in self.capacity.readings() if one.endpoint_id == endpoint)

    def total(self):
        return sum(one.allotment / one.throughput for one in self.capacity.readings())


async def test_it_follows_demand_up_within_seconds_and_down_after_the_window():
    world = World(reading("a"))
    await world.run(60, a=50)
    assert world.allotment("a") == 100
    await world.run(30, a=500)
    assert world.allotment("a") == 600
    await world.run(119, a=50)
    assert world.allotment("a") == 600
    await world.run(60, a=50)
    assert world.allotment("a") == 100
    kinds = [record.kind for record in world.autoscaler.take()]
    assert kinds[0] is Kind.UP
    assert kinds[-1] is Kind.DOWN


async def test_what_is_free_is_shared_by_those_who_ask_in_the_same_second():
    world = World(reading("a"), reading("b"), reading("c", allotment=500.0, minimum=500.0))
    await world.run(40, a=2000, b=2000)
    assert (world.allotment("a"), world.allotment("b"), world.allotment("c")) == (200, 200, 500)
    assert "free" in world.autoscaler.take()[-1].reason


async def test_a_minimum_that_comes_back_takes_what_others_had_above_theirs():
    world = World(reading("a"))
    await world.run(40, a=2000)
    assert world.allotment("a") == 900
    world.capacity.set(reading("b", minimum=400.0, allotment=400.0))
    await world.run(1, a=2000)
    assert (world.allotment("a"), world.allotment("b")) == (500, 400)
    assert world.autoscaler.take()[-1].kind is Kind.RECLAIMED
    await world.run(5, a=2000)
    assert world.allotment("a") == 500


async def test_a_raised_minimum_is_granted_at_once_and_taken_from_others():
    world = World(reading("a"), reading("b"))
    await world.run(40, a=2000)
    assert world.allotment("a") == 800
    world.capacity.set(with_minimum(world.capacity.readings()[1], 500.0))
    await world.run(2, a=2000)
    assert (world.allotment("a"), world.allotment("b")) == (400, 500)


async def test_each_device_has_its_own_room():
    world = World(
        reading("a", parts=(Part("x", 100, 100),)),
        reading("b", parts=(Part("y", 100, 100),)),
        reading("c", parts=(Part("x", 50, 50), Part("y", 50, 50)), maximum=100.0),
    )
    await world.run(60, a=2000, b=2000)
    assert (world.allotment("a"), world.allotment("b"), world.allotment("c")) == (800, 800, 100)


async def test_the_share_of_a_chunk_is_what_the_gate_says():
    world = World(reading("a", chunk_share=0.3))
    await world.run(60, a=2000)
    assert world.allotment("a") == 300


async def test_an_idle_entity_with_minimum_zero_goes_to_zero_and_one_request_brings_it_back():
    world = World(reading("a", minimum=0.0))
    await world.run(10, a=10)
    await world.run(1801)
    assert world.allotment("a") == 0
    await world.run(1, a=20)
    assert world.allotment("a") == 100


async def test_one_row_for_each_change_and_none_without():
    world = World(reading("a"))
    store = FakeStore()
    history = ScalingHistory(store, world.clock, world.autoscaler, days=1)
    await world.run(40, a=350)
    await history.step()
    async with store.unit() as unit:
        rows = await unit.scaling.of("a")
    assert [row.old for row in rows] == [row.new for row in rows[1:]] + [100]
    assert rows[0].new == 400
    assert not world.autoscaler.take()
    await world.clock.advance(2 * 24 * 3600)
    assert "forgotten" in await history.step()
    async with store.unit() as unit:
        assert not await unit.scaling.of("a")


async def test_changes_wait_for_a_database_that_is_away():
    world = World(reading("a"))
    store = FakeStore()
    history = ScalingHistory(store, world.clock, world.autoscaler, days=1)
    await world.run(40, a=350)
    store.away = True
    with pytest.raises(Temporary):
        await history.step()
    store.away = False
    await history.step()
    async with store.unit() as unit:
        assert await unit.scaling.of("a")


async def test_an_entity_that_is_gone_is_forgotten_and_a_new_count_starts_afresh():
    world = World(reading("a"), reading("b"))
    await world.run(10, a=100, b=100)
    world.capacity.remove("b", "m-1")
    world.capacity.set(replace(world.capacity.readings()[0], arrived=0.0))
    await world.run(10, a=50)
    assert world.allotment("a") == 100
    assert world.autoscaler._tracks.keys() == {("a", "m-1")}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9), st.sampled_from([500.0, 1000.0, 3000.0])), max_size=5),
    st.lists(st.lists(st.floats(0, 5000), min_size=5, max_size=5), max_size=20),
)
async def test_no_more_is_allotted_than_is_sold_whatever_is_asked(entities, seconds):
    sold = 0.0
    readings = []
    for number, (low, high, throughput) in enumerate(entities):
        if sold + low * 100 / throughput <= 0.9:
            sold += low * 100 / throughput
            readings.append(
                reading(
                    str(number),
                    minimum=low * 100.0,
                    allotment=low * 100.0,
                    maximum=max(low, high) * 100.0,
                    throughput=throughput,
                    chunk_share=100 / throughput,
                )
            )
    world = World(*readings)
    for rates in seconds:
        await world.run(1, **{one.endpoint_id: rate for one, rate in zip(readings, rates, strict=False)})
        assert world.total() <= 0.9 + 1e-6
        for one in world.capacity.readings():
            assert one.minimum <= one.allotment <= one.maximum


async def test_a_further_replica_is_asked_for_told_of_used_and_given_back():
    world = World(
        reading("a", parts=(Part("x", 100, 100),), maximum=1500.0),
        reading("b", minimum=800.0, maximum=800.0, allotment=800.0, parts=(Part("x", 800, 800),)),
    )
    world.expansion.outlooks["a"] = Outlook(4.0, {"y": 0.9})
    await world.run(1)
    await world.run(1, a=5000)
    assert world.expansion.wanted == {"a": {"y"}}
    assert world.capacity.expected["a", "m-1"] == (4.0, 500.0)
    [started] = world.autoscaler.take()
    assert (started.kind, started.old, started.new) == (Kind.STARTED, 100, 100)
    assert (started.startup_s, started.devices, started.maximum) == (4.0, "x, y", 1500)
    assert "A replica is started on y, for 5 chunks; that takes about 4 s." in started.reason
    await world.run(4, a=600)
    world.capacity.set(replace(world.capacity.readings()[0], parts=(Part("x", 100, 100), Part("y", 0, 0))))
    world.expansion.outlooks["a"] = Outlook(4.0, {})
    await world.run(1, a=600)
    assert world.allotment("a") >= 600
    assert world.capacity.expected["a", "m-1"][1] == 0
    assert world.expansion.took == {"a": [5.0]}, "seconds from the decision until it could be used"
    await world.run(60, a=600)
    await world.run(160, a=50)
    assert world.expansion.wanted == {"a": frozenset()}
    stopped = world.autoscaler.take()[-1]
    assert (stopped.kind, stopped.new, stopped.devices) == (Kind.STOPPED, 100, "x")
    assert "The replica on y is stopped: no more than 1 chunk in 120 s" in stopped.reason


async def test_joining_what_runs_for_others_is_told_as_no_start():
    world = World(
        reading("a", parts=(Part("x", 100, 100),), maximum=1500.0),
        reading("b", minimum=800.0, maximum=800.0, allotment=800.0, parts=(Part("x", 800, 800),)),
    )
    world.expansion.outlooks["a"] = Outlook(4.0, {"y": 0.9}, frozenset({"y"}))
    await world.run(1)
    await world.run(1, a=5000)
    assert world.expansion.wanted == {"a": {"y"}}
    assert world.capacity.expected["a", "m-1"] == (0.0, 500.0)
    [joined] = world.autoscaler.take()
    assert (joined.kind, joined.startup_s) == (Kind.STARTED, 0)
    world.capacity.set(replace(world.capacity.readings()[0], parts=(Part("x", 100, 100), Part("y", 0, 0))))
    await world.run(1, a=600)
    assert world.allotment("a") >= 600
    assert world.expansion.took == {}


async def test_hints_in_a_row_do_not_make_it_run_all_the_time():
    world = World(reading("a"))
    began = world.clock.monotonic()
    task = asyncio.ensure_future(world.autoscaler.paced())
    await task
    again = asyncio.ensure_future(world.autoscaler.paced())
    await world.clock.settle()
    assert not again.done()
    await world.clock.advance(0.05)
    await again
    assert world.clock.monotonic() - began == 0.05
