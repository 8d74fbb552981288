"""Endpoints over several devices, in virtual time."""

import pytest
from serving_wishes import ANN, GUIDE, OTHER, config, create, entity, running, settled, state

from penstock.domain.model import Precision
from penstock.domain.replica import ReplicaState
from penstock.testing.serving import World, add_model
from penstock.testing.store import FakeStore


@pytest.fixture
async def world(clock):
    made = World(FakeStore(), clock, devices=2)
    await add_model(made.store, GUIDE)
    await add_model(made.store, OTHER)
    return made


async def chunks_of(world, name="one"):
    view = await world.endpoints.get(ANN, name)
    [one] = (await world.offers.of_entities(view.endpoint.latest.entities)).values()
    return one.offer.chunks


async def is_estimated(world):
    view = await world.endpoints.get(ANN, "one")
    [one] = (await world.offers.of_entities(view.endpoint.latest.entities)).values()
    return one.offer.estimated


async def where(world, name="one"):
    """Device -> share of the ready replicas that the data plane knows."""
    return {one.device: round(one.share, 6) for one in world.table.of(name).entities[0].replicas}


async def measured(world):
    """The chunks of the model, known from an endpoint that is there no more."""
    await create(world, "first")
    await settled(world, "first")
    chunks = await chunks_of(world, "first")
    await world.endpoints.delete(ANN, "first")
    await world.clock.advance(15)
    assert not world.cluster.running()
    return chunks


def band(tokens_per_s):
    return config(entity(minimum=tokens_per_s, maximum=tokens_per_s))


async def test_more_than_a_device_gets_a_replica_on_each(world, clock):
    async with running(world):
        chunks = await measured(world)
        await create(world, "one", band(chunks.chunk * (chunks.slices + 2)))
        await settled(world)
        assert await state(world) == ("READY", "NOT_UPDATING")
        share = 0.9 / chunks.slices
        assert await where(world) == {"cpu0": pytest.approx(0.9), "cpu1": pytest.approx(2 * share)}
        assert sorted(run.launch.device for run in world.cluster.running()) == ["cpu0", "cpu1"]


async def test_an_update_to_more_adds_a_replica_and_one_to_less_drains_the_last(world, clock):
    async with running(world):
        chunks = await measured(world)
        await create(world, "one", band(chunks.chunk))
        await settled(world)
        [first] = world.cluster.running()
        await world.endpoints.update(ANN, "one", band(chunks.chunk * (chunks.slices + 1)))
        await settled(world)
        assert len(await where(world)) == 2
        assert first.status is None
        await world.endpoints.update(ANN, "one", band(chunks.chunk))
        await settled(world)
        await clock.advance(15)
        assert world.cluster.running() == [first]
        assert len(await where(world)) == 1


async def test_the_first_of_a_version_is_measured_before_it_is_split(world, clock):
    async with running(world):
        chunks = await measured(world)
        await create(world, "one", config(entity(OTHER, minimum=1.2 * chunks.chunk * chunks.slices, maximum=10**6)))
        most_before = 0
        while await is_estimated(world):
            most_before = max(most_before, len(world.cluster.running()))
            await clock.advance(0.5)
        assert most_before == 1
        view = await settled(world, "one")
        assert view.endpoint.latest.outcome == "active"
        assert len(await where(world)) == 2


async def test_a_crashed_replica_comes_back_on_its_device_and_the_other_serves_on(world, clock):
    async with running(world):
        chunks = await measured(world)
        await create(world, "one", band(chunks.chunk * (chunks.slices + 1)))
        await settled(world)
        before = await where(world)
        [second] = [run for run in world.cluster.running() if run.launch.device == "cpu1"]
        world.cluster.crash(second)
        await clock.advance(1)
        assert await where(world) == {"cpu0": before["cpu0"]}
        await clock.advance(10)
        assert await where(world) == before


async def test_a_restart_builds_the_same_places_again(world, clock):
    async with running(world):
        chunks = await measured(world)
        await create(world, "small", band(chunks.chunk))
        await settled(world, "small")
        await create(world, "one", band(chunks.chunk * chunks.slices))
        await settled(world)
        before = [await where(world, name) for name in ("small", "one")]
        assert [list(one) for one in before] == [["cpu0"], ["cpu1"]]
    world.server()
    async with running(world):
        await clock.advance(15)
        assert [await where(world, name) for name in ("small", "one")] == before


async def test_what_fits_nowhere_says_what_is_free_on_each_device_and_the_old_one_serves(world, clock):
    async with running(world):
        chunks = await measured(world)
        await create(world, "small", band(chunks.chunk))
        await settled(world, "small")
        await create(world, "one", band(chunks.chunk * chunks.slices))
        await settled(world)
        await world.endpoints.update(ANN, "one", band(chunks.chunk * 2 * chunks.slices))
        view = await settled(world)
        assert await state(world) == ("READY", "UPDATE_FAILED")
        said = view.endpoint.latest.message
        assert "main.default.guide/1 needs 180.0% of a device's throughput in chunks of" in said
        assert f"cpu0 {0.9 - 0.9 / chunks.slices:.1%} and 7,168 MiB, cpu1 90.0% and 8,192 MiB" in said
        assert "Held by: small on cpu0 (" in said
        async with world.store.unit() as unit:
            live = await unit.replicas.live()
        assert {one.state for one in live} == {ReplicaState.READY}
        assert list(await where(world)) == ["cpu1"]


async def test_a_further_replica_comes_when_it_is_asked_for_and_drains_when_it_is_not(world, clock):
    async with running(world):
        chunks = await measured(world)
        view = await create(world, "one", band(chunks.chunk))
        await settled(world)
        key = (view.endpoint.id, "guide-1")
        assert await where(world) == {"cpu0": pytest.approx(0.9 / chunks.slices)}
        outlook = world.expanding.outlook(*key)
        assert dict(outlook.devices) == {"cpu1": pytest.approx(0.9)}
        assert outlook.startup_s > 0
        asked_at = clock.monotonic()
        world.expanding.want(*key, ["cpu1"])
        while len(await where(world)) == 1:
            await clock.advance(0.25)
        assert clock.monotonic() - asked_at == pytest.approx(outlook.startup_s, abs=1.0)
        assert not world.expanding.outlook(*key).devices
        await clock.advance(60)
        assert list(await where(world)) == ["cpu0", "cpu1"]
        world.expanding.want(*key, [])
        await clock.advance(15)
        assert list(await where(world)) == ["cpu0"]
        assert len(world.cluster.running()) == 1


async def test_a_minimum_that_needs_the_memory_of_a_further_replica_gets_it(world, clock):
    world.recipe.memory = 4 * 2**30
    async with running(world):
        chunks = await measured(world)
        view = await create(world, "one", band(chunks.chunk))
        await settled(world)
        world.expanding.want(view.endpoint.id, "guide-1", ["cpu1"])
        await clock.advance(10)
        assert len(await where(world)) == 2
        # Each device has memory for two: the third of the others takes that of the further replica.
        for number, precision in enumerate(Precision):
            assert len(await where(world)) == 2
            await create(world, f"m{number}", config(entity(OTHER, precision=precision)))
            await settled(world, f"m{number}")
        assert list(await where(world)) == ["cpu0"]
        assert len(world.cluster.running()) == 4
        assert {await state(world, f"m{number}") for number in range(3)} == {("READY", "NOT_UPDATING")}


async def test_what_is_left_for_further_replicas_follows_what_others_hold(world, clock):
    async with running(world):
        chunks = await measured(world)
        view = await create(world, "one", band(chunks.chunk))
        await settled(world)
        key, share = (view.endpoint.id, "guide-1"), 0.9 / chunks.slices
        assert dict(world.expanding.outlook(*key).devices) == {"cpu1": pytest.approx(0.9)}
        await create(world, "two", config(entity(OTHER, minimum=0, maximum=10**6)))
        await create(world, "three", band(chunks.chunk * chunks.slices))
        await settled(world, "three")
        assert await where(world, "three") == {"cpu1": pytest.approx(0.9)}
        assert dict(world.expanding.outlook(*key).devices) == {"cpu1": pytest.approx(0.0)}
        await world.endpoints.update(ANN, "three", band(chunks.chunk))
        await settled(world, "three")
        assert dict(world.expanding.outlook(*key).devices) == {"cpu1": pytest.approx(0.9 - share)}
        await world.endpoints.delete(ANN, "three")
        await clock.advance(15)
        assert dict(world.expanding.outlook(*key).devices) == {"cpu1": pytest.approx(0.9)}


async def test_a_start_is_measured_from_the_wish_for_it_without_its_build(world):
    world.cluster.start_s = 1.0
    async with running(world):
        await create(world, "one")
        view = await settled(world)
    [found] = (await world.offers.of_entities(view.endpoint.latest.entities)).values()
    assert 3.0 <= found.profile.startup_s <= 3.5, "the process, and what it loads"


async def test_the_next_start_is_expected_to_take_as_long_as_the_last_ones(world, clock):
    async with running(world):
        chunks = await measured(world)
        view = await create(world, "one", band(chunks.chunk))
        await settled(world)
        key = (view.endpoint.id, "guide-1")
        [found] = (await world.offers.of_entities(view.endpoint.latest.entities)).values()
        assert world.expanding.outlook(*key).startup_s == found.profile.startup_s
        for took_s in (3.0, 90.0, 5.0):
            world.expanding.came(*key, took_s)
        assert world.expanding.outlook(*key).startup_s == 5.0
        for _ in range(5):
            world.expanding.came(*key, 7.0)
        assert world.expanding.outlook(*key).startup_s == 7.0
        await world.endpoints.delete(ANN, "one")
        await clock.advance(15)
        assert world.expanding.outlook(*key) is None


async def test_where_it_runs_for_others_it_is_joined_and_nothing_is_started(world, clock):
    async with running(world):
        chunks = await measured(world)
        view = await create(world, "one", band(chunks.chunk * chunks.slices))
        await settled(world)
        key = (view.endpoint.id, "guide-1")
        assert world.expanding.outlook(*key).running == frozenset()
        await create(world, "two", band(chunks.chunk))
        await settled(world, "two")
        await clock.advance(2)
        assert world.expanding.outlook(*key).running == {"cpu1"}
        world.expanding.want(*key, ["cpu1"])
        await clock.advance(0.5)
        assert list(await where(world)) == ["cpu0", "cpu1"]
        assert len(world.cluster.running()) == 2
