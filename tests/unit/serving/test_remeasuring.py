"""Measuring again: by itself when nobody uses the device, for somebody who asks, and never at others' expense."""

import asyncio
from dataclasses import replace

import pytest
from serving_wishes import ANN, GUIDE, OTHER, config, create, entity, running, settled

from penstock.control.carry_over import carry_over
from penstock.control.loop import Loop
from penstock.control.profiles import Wish
from penstock.domain.errors import Conflict
from penstock.domain.model import Precision
from penstock.domain.names import ModelName
from penstock.domain.replica import ReplicaState
from penstock.domain.scaling_room import Part
from penstock.ports.capacity import Reading

NAME = ModelName.parse(GUIDE)


def busy(world, endpoint_id, *, arrived=1.0, in_flight=0, device="cpu"):
    world.capacity.set(
        Reading(
            endpoint_id=endpoint_id, entity="guide-1", arrived=arrived, attained=0.0, backlog=0.0, waiting=0,
            in_flight=in_flight, allotment=100.0, minimum=100.0, maximum=900.0, throughput=1000.0, chunk=100.0,
            predicted_wait_s=0.0, parts=(Part(device, 100.0, 100.0),),
        )
    )  # fmt: skip


@pytest.fixture
async def again(world):
    """The loops, with the one that measures again, and a version that is served and marked."""
    loop = Loop("again", world.remeasuring.step, world.clock, period_s=2)
    async with running(world):
        view = await create(world)
        await settled(world)
        task = asyncio.create_task(loop.run())
        yield view.endpoint.id
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await world.remeasuring.close()


async def profile_of(world, model=GUIDE):
    async with world.store.unit() as unit:
        return (await unit.profiles.of(f"{model}/1"))[0]


async def mark(world):
    old = await profile_of(world)
    async with world.store.unit() as unit:
        await unit.profiles.mark(old.fingerprint, old.measured_at, "it drifts")
    return old


async def test_what_is_stale_is_measured_once_the_device_has_been_idle(world, again):
    old = await mark(world)
    busy(world, again, in_flight=1)
    await world.clock.advance(600)
    busy(world, again)
    await world.clock.advance(290)
    assert (await profile_of(world)).stale == "it drifts"
    await world.clock.advance(60)
    new = await profile_of(world)
    assert (new.stale, new.fingerprint) == ("", old.fingerprint)
    assert new.measured_at > old.measured_at
    await world.clock.advance(900)
    assert await profile_of(world) == new
    async with world.store.unit() as unit:
        (replica,) = await unit.replicas.live()
    assert replica.state is ReplicaState.READY  # it served all the time


async def test_it_gives_way_to_the_first_request_and_comes_back(world, again):
    old = await mark(world)
    while not world.client.parallel:
        assert world.clock.monotonic() < 310
        await world.clock.advance(1)
    busy(world, again)
    await world.clock.advance(1)
    assert world.client.parallel == 0
    await world.clock.advance(280)
    assert (await profile_of(world)).measured_at == old.measured_at
    await world.clock.advance(60)
    assert (await profile_of(world)).stale == ""


async def test_requests_on_another_device_do_not_matter(world, again):
    await mark(world)
    busy(world, again, in_flight=1, device="cpu7")
    await world.clock.advance(360)
    assert (await profile_of(world)).stale == ""


async def test_a_measurement_that_fails_is_tried_again_later(world, again):
    await mark(world)
    world.client.fails = "no luck"
    await world.clock.advance(310)
    world.client.fails = ""
    await world.clock.advance(200)
    assert (await profile_of(world)).stale == "it drifts"
    await world.clock.advance(160)
    assert (await profile_of(world)).stale == ""


async def test_who_asks_waits_until_the_device_is_idle(world, again):
    old = await profile_of(world)
    busy(world, again, in_flight=1)
    await world.profiles.start(ANN, NAME, 1, Wish(wait_s=60))
    await world.clock.advance(20)
    told = await world.profiles.get(ANN, NAME, 1)
    assert (told.progress, told.doing) == (0.0, "waiting for cpu to be idle: requests to 'one' run")
    busy(world, again)
    await world.clock.advance(35)
    told = await world.profiles.get(ANN, NAME, 1)
    assert (told.progress, told.failure) == (None, "")
    assert told.profile.measured_at > old.measured_at


async def test_who_asks_is_told_who_kept_the_device_busy(world, again):
    busy(world, again, in_flight=1)
    await world.profiles.start(ANN, NAME, 1, Wish())
    await world.clock.advance(31)
    told = await world.profiles.get(ANN, NAME, 1)
    assert told.progress is None
    assert told.failure.startswith("cpu was not idle within 30 s: requests to 'one' run.")


async def test_what_was_asked_for_is_begun_anew_when_it_was_disturbed(world, again):
    old = await profile_of(world)
    await world.profiles.start(ANN, NAME, 1, Wish(wait_s=30))
    await world.clock.advance(5)
    busy(world, again, arrived=1.0)
    await world.clock.advance(40)
    told = await world.profiles.get(ANN, NAME, 1)
    assert (told.progress, told.failure) == (None, "")
    assert told.profile.measured_at > old.measured_at + 8000
    assert told.profile.stale == ""


async def test_a_deployment_is_measured_whoever_else_is_there_and_that_is_said(world, again):
    await create(world, "two", config(entity(OTHER)))
    for number in range(120):
        busy(world, again, arrived=float(number), in_flight=1)
        await world.clock.advance(1)
    profile = await profile_of(world, OTHER)
    assert profile.stale == "Requests to 'one' used the device while it was measured, so that it may be too low."
    assert (await settled(world, "two")).endpoint.ready.value == "READY"
    busy(world, again, arrived=200.0)
    await world.clock.advance(400)
    assert (await profile_of(world, OTHER)).stale == ""


async def test_an_engine_that_cannot_be_started_says_why_and_leaves_nothing(world, again):
    other = ModelName.parse(OTHER)
    world.cluster.build_status, world.cluster.words = 1, "no such tensor"
    await world.profiles.start(ANN, other, 1, Wish())
    await world.clock.advance(10)
    told = await world.profiles.get(ANN, other, 1)
    assert (told.progress, told.failure) == (None, "no such tensor")
    assert len(world.cluster.running()) == 1  # the endpoint's
    world.cluster.memory_of_device = 2 * 2**30  # room for one more, and no more than that
    world.cluster.build_status = 0
    await world.profiles.start(ANN, other, 1, Wish())
    await world.clock.advance(60)
    assert (await world.profiles.get(ANN, other, 1)).profile is not None
    assert len(world.cluster.running()) == 1


async def test_what_an_engine_is_measured_with_is_nobody_elses(world, again):
    world.cluster.memory_of_device = 2 * 2**30
    await world.profiles.start(ANN, ModelName.parse(OTHER), 1, Wish())
    with pytest.raises(Conflict, match=f"Held by: one .*, measuring {OTHER}/1"):
        await world.profiles.start(ANN, NAME, 1, Wish(precision=Precision.BF16))


async def test_after_an_upgrade_endpoints_serve_on_and_are_measured_when_idle(world, again):
    old = await profile_of(world)
    world.recipe.version = "2"
    world.server()
    await carry_over(world.store, world.offers)
    await carry_over(world.store, world.offers)
    async with world.store.unit() as unit:
        carried, before = await unit.profiles.of(f"{GUIDE}/1")
    assert {before, carried} >= {old}
    carried = carried if carried != old else before
    why = "The engine was fake 1 and is fake 2 since it was measured."
    assert carried == replace(old, fingerprint=replace(old.fingerprint, engine="fake 2"), stale=why)
    async with running(world):
        await world.clock.advance(10)
        async with world.store.unit() as unit:
            assert [one.state for one in await unit.replicas.live()] == [ReplicaState.READY]
        loop = asyncio.create_task(Loop("again", world.remeasuring.step, world.clock, period_s=2).run())
        await world.clock.advance(400)
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
        new = await world.profiles.get(ANN, NAME, 1)
    assert (new.profile.stale, new.profile.fingerprint.engine) == ("", "fake 2")


@pytest.mark.parametrize(
    ("chosen", "said"), [(None, "The precision was bf16 and is int8 since it was measured."), (Precision.INT8, None)]
)
async def test_of_another_precision_nothing_is_carried_over_where_this_one_was_asked_for(world, again, chosen, said):
    old = await profile_of(world)
    await world.endpoints.update(ANN, "one", config(entity(precision=chosen)))
    await settled(world)
    async with world.store.unit() as unit:
        unit.profiles.by_fingerprint.clear()
        await unit.profiles.put(replace(old, fingerprint=replace(old.fingerprint, precision="bf16")))
    await carry_over(world.store, world.offers)
    async with world.store.unit() as unit:
        found = await unit.profiles.get(old.fingerprint)
    assert (found and found.stale) == said
