"""What an engine with room for adapters does is measured, and what was sold of its base is kept, in virtual time."""

import pytest
from serving_wishes import ANN, GUIDE, OTHER, config, create, entity, running, settled, state

from penstock.domain.traffic import Route
from penstock.testing.serving import World, add_model
from penstock.testing.store import FakeStore

LEGAL, MEDICAL, WIDE = "main.default.legal", "main.default.medical", "main.default.wide"
SLOWER = 1.5


async def made(clock, devices):
    world = World(FakeStore(), clock, devices=devices)
    for name in (GUIDE, OTHER):
        await add_model(world.store, name)
    for name, rank in ((LEGAL, 16), (MEDICAL, 16), (WIDE, 64)):
        await add_model(world.store, name, base=f"{GUIDE}/1", rank=rank)
    world.client.slower = SLOWER
    return world


@pytest.fixture
async def world(clock):
    return await made(clock, 1)


async def serve(world, name, model, minimum=10):
    await create(world, name, config(entity(model, minimum=minimum, maximum=max(minimum, 100))))
    return await settled(world, name)


def parts(world, name):
    """Address and share of each replica that serves the endpoint."""
    return [(one.address, one.share) for one in world.table.of(name).entities[0].replicas]


def at(world, name):
    return [address for address, _ in parts(world, name)]


def throughput(world, name):
    """What an engine does, as the endpoint is sold it."""
    return world.table.of(name).entities[0].sale.terms.throughput


async def chunks(world, name="base"):
    entities = (await world.endpoints.get(ANN, name)).endpoint.active.entities
    [one] = (await world.offers.of_entities(entities)).values()
    return one.offer.chunks


async def places(world, name):
    async with world.store.unit() as unit:
        return await unit.places.of(world.table.of(name).id)


def commands(world):
    return [run.launch.command[3:] for run in world.cluster.runs.values() if run.kind == "serve"]


async def test_a_base_and_its_adapters_are_sold_by_what_engines_with_room_do(world, clock):
    async with running(world):
        await serve(world, "base", GUIDE, minimum=1500)
        alone, [(_, share)] = throughput(world, "base"), parts(world, "base")
        await serve(world, "legal", LEGAL)
        await clock.advance(30)
        assert throughput(world, "base") == throughput(world, "legal") == pytest.approx(alone / SLOWER, rel=0.1)
        [(_, more)] = parts(world, "base")
        assert more * throughput(world, "base") >= 1500
        assert more > share * 1.2
        assert commands(world) == [(), ("32",), ("32",)], "the second one only to be measured"
        await serve(world, "medical", MEDICAL)
        assert len(commands(world)) == 3, "there is room, and it was measured with it"


async def test_until_it_is_measured_nothing_changes_for_the_base(world, clock):
    async with running(world):
        await serve(world, "base", GUIDE, minimum=1500)
        before = world.table.of("base")
        await create(world, "legal", config(entity(LEGAL)))
        for _ in range(10):
            await clock.advance(1)
            assert world.table.of("base") == before
            assert await state(world, "legal") == ("NOT_READY", "IN_PROGRESS")


async def test_an_adapter_is_refused_where_what_was_sold_of_its_base_would_not_be_kept(world, clock):
    async with running(world):
        await serve(world, "base", GUIDE)
        alone = await chunks(world)
        await world.endpoints.delete(ANN, "base")
        await clock.advance(20)
        await serve(world, "base", GUIDE, minimum=alone.chunk * (alone.slices - 1))
        before = world.table.of("base")
        view = await serve(world, "legal", LEGAL)
        said = view.endpoint.latest.message
        assert "Insufficient capacity on cpu for base: " in said
        assert "What was sold of version 1 of model 'main.default.guide' is kept" in said
        assert "an engine with room for adapters of rank 32 in all does" in said
        await clock.advance(30)
        assert world.table.of("base") == before
        assert len(world.cluster.running()) == 1
        assert await chunks(world) == alone


async def test_what_was_sold_gets_another_replica_where_there_is_another_device(clock):
    world = await made(clock, 2)
    async with running(world):
        await serve(world, "base", GUIDE)
        alone = await chunks(world)
        await world.endpoints.delete(ANN, "base")
        await clock.advance(20)
        sold = alone.chunk * (alone.slices - 1)
        await serve(world, "base", GUIDE, minimum=sold)
        assert len(parts(world, "base")) == 1
        assert (await serve(world, "legal", LEGAL)).endpoint.ready == "READY"
        await clock.advance(60)
        shares = [share for _, share in parts(world, "base")]
        assert len(shares) == 2
        assert sum(shares) * throughput(world, "base") >= sold
        assert {run.launch.command[3:] for run in world.cluster.running()} == {("32",)}


async def test_without_memory_to_measure_beside_what_was_sold_it_is_said_what_to_do(world, clock):
    world.recipe.memory = 5 * 2**30
    async with running(world):
        await serve(world, "base", GUIDE)
        before = world.table.of("base")
        said = (await serve(world, "legal", LEGAL)).endpoint.latest.message
        assert "must be measured before it takes the place of the one that endpoints have bought of" in said
        assert "5,120 MiB of memory is needed and 3,072 is free" in said
        assert "Stop those endpoints until this configuration is ready" in said
        await clock.advance(20)
        assert world.table.of("base") == before
        await world.settings.stop(ANN, "base")
        await clock.advance(20)
        await world.endpoints.update(ANN, "legal", config(entity(LEGAL)))
        assert (await settled(world, "legal")).endpoint.ready == "READY"
        await world.settings.start(ANN, "base")
        await settled(world, "base")
        assert at(world, "base") == at(world, "legal")
        assert throughput(world, "base") == throughput(world, "legal")


async def test_once_it_is_measured_one_with_room_takes_the_place_of_the_other_where_memory_is_short(world, clock):
    world.recipe.memory = 5 * 2**30
    async with running(world):
        await serve(world, "legal", LEGAL)
        await world.endpoints.delete(ANN, "legal")
        await clock.advance(20)
        await world.reconciler.sweep()
        await serve(world, "base", GUIDE)
        [run] = world.cluster.running()
        assert run.launch.command[3:] == ()
        assert (await serve(world, "legal", LEGAL)).endpoint.ready == "READY"
        await clock.advance(30)
        [run] = world.cluster.running()
        assert run.launch.command[3:] == ("32",)
        assert at(world, "base") == at(world, "legal") != []


async def test_where_nothing_was_sold_nothing_has_to_be_measured_first(world, clock):
    world.recipe.memory = 5 * 2**30
    async with running(world):
        await serve(world, "base", GUIDE, minimum=0)
        assert (await serve(world, "legal", LEGAL)).endpoint.ready == "READY"
        await clock.advance(30)
        assert commands(world) == [(), ("32",)]
        assert throughput(world, "legal") == throughput(world, "base")
        assert (await chunks(world, "legal")).throughput == throughput(world, "legal")


async def test_an_adapter_that_does_not_fit_into_the_room_gets_a_larger_one(world, clock):
    async with running(world):
        await serve(world, "legal", LEGAL)
        before = parts(world, "legal")
        assert (await serve(world, "wide", WIDE)).endpoint.ready == "READY"
        await clock.advance(30)
        assert parts(world, "legal")[0][0] == parts(world, "wide")[0][0] != before[0][0]
        [run] = world.cluster.running()
        assert run.launch.command[3:] == ("128",)
        assert sorted(world.client.adapters[run.launch.command[2]]) == [f"{LEGAL}/1", f"{WIDE}/1"]


async def test_memory_for_room_is_reserved(world, clock):
    world.recipe.memory_of_room = 2**27
    async with running(world):
        await serve(world, "legal", LEGAL)
        [one] = await places(world, "legal")
        assert one.memory == 2**30 + 32 * 2**27
        await create(world, "other", config(entity(OTHER)))
        world.recipe.memory = 4 * 2**30
        said = (await settled(world, "other")).endpoint.latest.message
        assert "3,072 is free" in said


async def test_what_runs_with_room_is_sold_so_until_the_server_starts_again(world, clock):
    async with running(world):
        await serve(world, "base", GUIDE)
        alone = throughput(world, "base")
        await serve(world, "legal", LEGAL)
        await clock.advance(20)
        slower = throughput(world, "base")
        await world.endpoints.delete(ANN, "legal")
        await clock.advance(20)
        assert throughput(world, "base") == slower < alone
        world.cluster.crash(world.cluster.running()[0])
        await clock.advance(20)
        assert commands(world)[-1] == ("32",)
        assert throughput(world, "base") == slower
    world.server()
    async with running(world):
        await clock.advance(20)
        assert commands(world)[-1] == ()
        assert throughput(world, "base") == alone


async def test_after_a_restart_adapters_are_sold_as_before(world, clock):
    async with running(world):
        await serve(world, "base", GUIDE)
        await serve(world, "legal", LEGAL)
        await clock.advance(20)
        sold = throughput(world, "base")
    world.server()
    async with running(world):
        await clock.advance(20)
        assert throughput(world, "base") == throughput(world, "legal") == sold
        assert commands(world)[-1] == ("32",)


async def test_an_endpoint_keeps_its_own_throughput_when_an_adapter_comes_to_it(world, clock):
    async with running(world):
        await serve(world, "base", GUIDE)
        alone = await chunks(world)
        full = entity(minimum=alone.chunk * alone.slices, maximum=alone.chunk * alone.slices)
        await world.endpoints.update(ANN, "base", config(full))
        await settled(world, "base")
        before = world.table.of("base")
        halves = (Route("guide-1", 50), Route("legal-1", 50))
        await world.endpoints.update(ANN, "base", config(full, entity(LEGAL), routes=halves))
        said = (await settled(world, "base")).endpoint.latest.message
        assert "Insufficient capacity on cpu for base" in said
        await clock.advance(20)
        assert world.table.of("base") == before
