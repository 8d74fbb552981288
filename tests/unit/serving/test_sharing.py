"""Endpoints of one version on one device: one replica for all of them, in virtual time."""

from dataclasses import replace

import pytest
from serving_wishes import ANN, GUIDE, OTHER, config, create, entity, running, settled, state

from penstock.control.usual_precision import settle_precisions
from penstock.domain.model import Precision
from penstock.domain.replica import ReplicaState
from penstock.testing.serving import World, add_model
from penstock.testing.store import FakeStore


async def pair(world, **second):
    """Two endpoints of one version; returns the address that serves both."""
    await create(world, "one")
    await settled(world, "one")
    await create(world, "two", config(entity(**second)))
    await settled(world, "two")
    [run] = world.cluster.running()
    assert addresses(world, "one") == addresses(world, "two") == [run.launch.command[2]]
    return run


def addresses(world, name):
    return [one.address for one in world.table.of(name).entities[0].replicas]


def shares(world, name):
    return [one.share for one in world.table.of(name).entities[0].replicas]


async def test_shares_stay_apart_and_memory_is_held_once(world):
    async with running(world):
        await pair(world, minimum=1000, maximum=1000)
        [one], [two] = shares(world, "one"), shares(world, "two")
        assert 0 < one < two < 0.9
        world.recipe.memory = 8 * 2**30
        await create(world, "three", config(entity(OTHER)))
        said = (await settled(world, "three")).endpoint.latest.message
        assert "8,192 MiB of memory is needed and 7,168 is free" in said
        assert f"one ({one:.1%}, 1,024 MiB together with two), two ({two:.1%}, 1,024 MiB together with one)" in said


async def test_two_that_begin_together_build_once_and_measure_once(world):
    async with running(world):
        await create(world, "one")
        await create(world, "two")
        await settled(world, "one")
        await settled(world, "two")
        assert [run.kind for run in world.cluster.runs.values()] == ["build", "serve"]
        assert addresses(world, "one") == addresses(world, "two") != []


async def test_the_usual_precision_by_its_name_is_the_same_replica(world):
    async with running(world):
        run = await pair(world, precision=Precision.INT8)
        asked = (await world.endpoints.get(ANN, "two")).endpoint.active.entities[0]
        assert asked.precision is Precision.INT8, "as it was asked for"
        await world.endpoints.update(ANN, "one", config(entity(precision=Precision.INT8)))
        await settled(world, "one")
        assert world.cluster.running() == [run]


async def test_stored_configurations_share_from_a_start_on_with_those_that_run_the_same(world, clock):
    async with running(world):
        await pair(world, precision=Precision.INT8)
    two = (await world.endpoints.get(ANN, "two")).endpoint
    older = replace(two.active.entities[0], precision_is_usual=False)
    async with world.store.unit() as unit:
        held = await unit.places.of(two.id)
        await unit.endpoints.set_entities(two.id, two.active.version, [older])
        await unit.places.put(two.id, [replace(one, spec=older.spec) for one in held])
    world.server()
    assert await settle_precisions(world.store, world.offers) == [older.spec]
    async with world.store.unit() as unit:
        assert await unit.places.of(two.id) == held
    async with running(world):
        await clock.advance(15)
        assert addresses(world, "one") == addresses(world, "two") != []
    world.recipe.usual = Precision.BF16
    world.server()
    assert await settle_precisions(world.store, world.offers) == []
    async with world.store.unit() as unit:
        assert [one.spec for one in await unit.places.of(two.id)] == [older.spec], "it was promised eight bits"
        assert (await unit.endpoints.by_name("two")).active.entities == (older,)
        assert (await unit.endpoints.by_name("one")).active.entities[0].spec != older.spec


async def test_an_adapter_runs_in_the_usual_precision_of_its_base(world):
    async with running(world):
        await create(world, "one", config(entity(precision=Precision.INT8)))
        one = (await settled(world, "one")).endpoint
    adapter = replace(one.active.entities[0], entity_name="main.default.fit", base=(GUIDE, "1"))
    async with world.store.unit() as unit:
        await unit.endpoints.set_entities(one.id, one.active.version, [replace(adapter, precision_is_usual=False)])
    await settle_precisions(world.store, world.offers)
    async with world.store.unit() as unit:
        assert (await unit.endpoints.by_name("one")).active.entities == (adapter,)


async def test_another_precision_is_another_replica(world):
    async with running(world):
        await create(world, "one")
        await create(world, "two", config(entity(precision=Precision.BF16)))
        await settled(world, "one")
        await settled(world, "two")
        assert len(world.cluster.running()) == 2
        assert addresses(world, "one") != addresses(world, "two")


@pytest.mark.parametrize("goes", ["one", "two"])
async def test_deleting_one_leaves_the_other_served_without_a_break(world, clock, goes):
    stays = {"one": "two", "two": "one"}[goes]
    async with running(world):
        run = await pair(world)
        [before] = addresses(world, stays)
        world.table.history.clear()
        await world.endpoints.delete(ANN, goes)
        await clock.advance(30)
        assert world.cluster.running() == [run]
        told = [route for route in world.table.history if route is not None and route.name == stays]
        assert all(route.entities[0].replicas[0].address == before for route in told)
        assert world.cluster.logs, "the logs are the other's too"
        async with world.store.unit() as unit:
            assert [one.name for one in await unit.endpoints.list(deleted=True)] == [stays]
        await world.endpoints.delete(ANN, stays)
        await clock.advance(30)
        assert world.cluster.running() == []
        assert world.cluster.logs == {}


async def test_an_update_of_one_to_another_version_leaves_the_others_replica(world, clock):
    async with running(world):
        run = await pair(world)
        await world.endpoints.update(ANN, "one", config(entity(OTHER)))
        await settled(world, "one")
        await clock.advance(30)
        assert len(world.cluster.running()) == 2
        assert run.status is None
        assert addresses(world, "two") == [run.launch.command[2]]
        await world.endpoints.update(ANN, "two", config(entity(OTHER)))
        await settled(world, "two")
        await clock.advance(30)
        assert run.status is not None
        assert len(world.cluster.running()) == 1
        assert addresses(world, "one") == addresses(world, "two")


async def test_a_crash_is_everybodys_and_so_is_the_replacement(world, clock):
    async with running(world):
        run = await pair(world)
        world.cluster.crash(run, 134)
        while addresses(world, "one") or addresses(world, "two"):
            await clock.advance(0.1)
        for name in ("one", "two"):
            view = await world.endpoints.get(ANN, name)
            status = view.config.statuses["guide-1"]
            assert status.deployment == "DEPLOYMENT_RECOVERING"
            assert "exited with 134" in status.message
            assert addresses(world, name) == []
        await clock.advance(10)
        assert len(world.cluster.running()) == 1
        assert addresses(world, "one") == addresses(world, "two") != []


async def test_an_engine_that_hangs_is_asked_as_often_for_five_as_for_one(world, clock):
    async with running(world):
        run = await pair(world)
        for number in range(3):
            await create(world, f"more{number}")
            await settled(world, f"more{number}")
        asked_at = []

        async def hangs(_address):
            asked_at.append(clock.monotonic())
            await clock.sleep(3)
            return False

        answers, world.client.healthy = world.client.healthy, hangs
        await clock.advance(65)
        world.client.healthy = answers
        assert 10 < len(asked_at) < 20
        assert run.status is not None
        await clock.advance(10)
        assert len(world.cluster.running()) == 1
        assert addresses(world, "more2") == addresses(world, "one") != []


async def test_a_build_that_fails_fails_all_that_wait_for_it(world, clock):
    world.cluster.build_status, world.cluster.words = 1, "no tokenizer"
    async with running(world):
        await create(world, "one")
        await clock.advance(1)
        await create(world, "two")
        for name in ("one", "two"):
            assert (await settled(world, name)).endpoint.latest.message == "no tokenizer"
        assert len(world.cluster.runs) == 1


async def test_what_went_wrong_for_others_before_is_not_ones_own(world, clock):
    world.cluster.build_status, world.cluster.words = 1, "no tokenizer"
    async with running(world):
        await create(world, "one")
        await settled(world, "one")
        world.cluster.build_status = 0
        await clock.advance(1)
        await create(world, "two")
        await clock.advance(5)
        assert "no tokenizer" not in (await world.endpoints.get(ANN, "two")).pending.statuses["guide-1"].message
        assert (await settled(world, "two")).endpoint.latest.message == ""


async def test_scaling_to_zero_stops_only_what_nobody_needs(world, clock):
    async with running(world):
        run = await pair(world, minimum=0)
        world.table.idle["guide-1"] = 1801
        await clock.advance(15)
        assert run.status is None
        assert addresses(world, "two") == []
        assert (await world.endpoints.get(ANN, "two")).config.statuses["guide-1"].message == "Scaled to zero."
        assert world.table.of("two").entities[0].startup_s == 0, "it would join what runs for the other"
        assert addresses(world, "one") != []
        view = await world.endpoints.get(ANN, "two")
        world.reconciler.ask(view.endpoint.id, "guide-1")
        world.table.idle["guide-1"] = 0
        await clock.advance(0.5)
        assert addresses(world, "two") == addresses(world, "one"), "back at once"
        await world.endpoints.delete(ANN, "one")
        world.table.idle["guide-1"] = 1801
        await clock.advance(15)
        assert world.cluster.running() == []
        assert world.table.of("two").entities[0].startup_s > 0


async def test_logs_are_found_by_every_endpoint(world):
    async with running(world):
        await pair(world)
        for read in (world.logs.build, world.logs.server):
            one, two = [await read(ANN, name, "guide-1", None) for name in ("one", "two")]
            assert one == two != ""


async def test_a_restart_ends_the_process_and_serves_both_again(world, clock):
    async with running(world):
        run = await pair(world)
        before = [shares(world, name) for name in ("one", "two")]
    world.server()
    async with running(world):
        await clock.advance(15)
        assert run.status is not None
        assert len(world.cluster.running()) == 1
        assert [shares(world, name) for name in ("one", "two")] == before
        assert [await state(world, name) for name in ("one", "two")] == [("READY", "NOT_UPDATING")] * 2


async def test_on_several_devices_an_endpoint_goes_where_its_version_runs(clock):
    world = World(FakeStore(), clock, devices=3)
    await add_model(world.store, GUIDE)
    await add_model(world.store, OTHER)
    async with running(world):
        await create(world, "other", config(entity(OTHER)))
        await settled(world, "other")
        await create(world, "one")
        await settled(world, "one")
        chunks = next(iter((await world.offers.of_entities((await get(world, "one")).active.entities)).values())).offer
        most = chunks.chunks.chunk * (chunks.chunks.slices - 1)
        await create(world, "two", config(entity(minimum=most, maximum=most)))
        await settled(world, "two")
        assert addresses(world, "one") == addresses(world, "two"), "joined, and the device is sold out"
        await create(world, "three", config(entity(minimum=most, maximum=most)))
        await settled(world, "three")
        assert addresses(world, "three") != addresses(world, "two"), "another device"
        assert len(world.cluster.running()) == 3
        async with world.store.unit() as unit:
            assert {one.state for one in await unit.replicas.live()} == {ReplicaState.READY}


async def get(world, name):
    return (await world.endpoints.get(ANN, name)).endpoint


async def test_an_endpoint_that_comes_while_the_last_replica_drains_gets_a_new_one(world, clock):
    world.cluster.drain_s = 8
    async with running(world):
        await create(world, "one")
        await settled(world, "one")
        [leaving] = world.cluster.running()
        await world.endpoints.delete(ANN, "one")
        await clock.advance(1)
        await create(world, "two")
        await settled(world, "two")
        assert leaving.status is None or clock.monotonic() > 8
        assert addresses(world, "two") not in ([], [leaving.launch.command[2]])
        await clock.advance(15)
        assert len(world.cluster.running()) == 1
