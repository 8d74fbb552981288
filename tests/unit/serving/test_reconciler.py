"""The life of endpoints, from the first wish to the last replica, in virtual time."""

from serving_wishes import ANN, GUIDE, OTHER, config, create, entity, running, settled, state

from penstock.control.endpoint_wishes import ConfigWish, ExternalWish
from penstock.domain.external_forms import ProviderKind
from penstock.domain.external_model import ExternalModel
from penstock.domain.model import Task
from penstock.domain.replica import ReplicaState
from penstock.domain.secret import Hidden
from penstock.domain.traffic import Route


async def replicas(world, *states):
    async with world.store.unit() as unit:
        found = await unit.replicas.live()
    return [one for one in found if not states or one.state in states]


async def test_an_endpoint_is_built_loaded_measured_and_served(world, clock):
    async with running(world):
        made = await create(world)
        assert made.pending.statuses["guide-1"].deployment == "DEPLOYMENT_CREATING"
        assert await state(world) == ("NOT_READY", "IN_PROGRESS")
        seen = set()
        while (view := await world.endpoints.get(ANN, "one")).endpoint.pending:
            seen.add(view.pending.statuses["guide-1"].message)
            await clock.advance(0.5)
        assert await state(world) == ("READY", "NOT_UPDATING")
        assert "Loading the model." in seen
        assert any(said.startswith("measuring throughput: ") for said in seen)
        [replica] = await replicas(world)
        assert world.table.of("one").entities[0].replicas[0].id == replica.id
        assert [run.kind for run in world.cluster.runs.values()] == ["build", "serve"]
        info = await world.offers.of_entities(view.endpoint.latest.entities)
        assert not next(iter(info.values())).offer.estimated


async def test_a_second_endpoint_of_a_measured_version_is_not_measured_again(world, clock):
    async with running(world):
        await create(world, "one")
        await settled(world, "one")
        before = clock.monotonic()
        await create(world, "two")
        await settled(world, "two")
        assert clock.monotonic() - before < 2, "it is served by the replica that runs already"
        assert [run.kind for run in world.cluster.runs.values()] == ["build", "serve"]


async def test_a_replica_of_an_endpoint_that_was_built_starts_without_a_build(world, clock):
    async with running(world):
        await create(world)
        await settled(world)
        world.cluster.crash(world.cluster.running()[0])
        await clock.advance(6)
        assert [run.kind for run in world.cluster.runs.values()] == ["build", "serve", "serve"]
        assert world.table.of("one").entities[0].replicas


async def test_measurements_take_turns(world):
    async with running(world):
        await create(world, "one", config(entity(GUIDE)))
        await create(world, "two", config(entity(OTHER)))
        await settled(world, "one")
        await settled(world, "two")
    assert world.client.most_parallel == 4


async def test_an_update_that_changes_only_the_band_keeps_the_replica(world, clock):
    async with running(world):
        await create(world)
        await settled(world)
        [before] = await replicas(world)
        await world.endpoints.update(ANN, "one", config(entity(maximum=200)))
        view = await settled(world)
        assert view.config.config.version == 2
        assert [one.id for one in await replicas(world)] == [before.id]


async def test_the_old_configuration_serves_until_the_new_one_is_ready(world, clock):
    async with running(world):
        await create(world)
        await settled(world)
        await world.endpoints.update(ANN, "one", config(entity(OTHER)))
        assert await state(world) == ("READY", "IN_PROGRESS")
        while (await state(world))[1] == "IN_PROGRESS":
            route = world.table.of("one")
            assert [one.name for one in route.entities if one.replicas] == ["guide-1"]
            await clock.advance(0.5)
        assert [one.name for one in world.table.of("one").entities] == ["other-1"]
        await clock.advance(15)
        assert [one.entity_name for one in await replicas(world)] == [OTHER]


async def test_a_failing_build_fails_the_update_with_its_reason_and_the_old_one_serves(world, clock):
    async with running(world):
        await create(world)
        await settled(world)
        world.cluster.build_status, world.cluster.words = 1, "2026-01-01 00:00:00,000 ERROR rope type 'x' is unknown"
        await world.endpoints.update(ANN, "one", config(entity(OTHER)))
        view = await settled(world)
        assert await state(world) == ("READY", "UPDATE_FAILED")
        assert view.endpoint.latest.message == "rope type 'x' is unknown"
        status = view.config.statuses["guide-1"]
        assert status.deployment == "DEPLOYMENT_READY"
        assert "config version 2 failed: rope type 'x' is unknown" in status.message
        assert world.table.of("one").entities[0].replicas


async def test_a_first_deployment_that_fails_says_why(world, clock):
    world.cluster.build_status, world.cluster.words = 1, "no tokenizer"
    async with running(world):
        await create(world)
        view = await settled(world)
        assert await state(world) == ("NOT_READY", "UPDATE_FAILED")
        assert view.pending is None
        assert view.config.statuses["guide-1"].deployment == "DEPLOYMENT_FAILED"
        assert view.config.statuses["guide-1"].message == "no tokenizer"
        assert "no tokenizer" in world.table.of("one").problem


async def test_a_build_that_was_killed_is_tried_again(world, clock):
    async with running(world):
        await create(world)
        await clock.advance(1)
        [build] = world.cluster.running("build")
        world.cluster.crash(build)
        view = await settled(world)
        assert view.endpoint.ready == "READY"
        assert len([run for run in world.cluster.runs.values() if run.kind == "build"]) == 2


async def test_an_engine_that_never_gets_ready_fails_after_three_attempts(world, clock):
    async with running(world):
        await create(world)
        for _ in range(3):
            while not world.cluster.running():
                await clock.advance(0.5)
            world.cluster.crash(world.cluster.running()[0], 134)
            await clock.advance(0.5)
        view = await settled(world)
        assert "3 replicas failed" in view.endpoint.latest.message
        assert "exited with 134" in view.endpoint.latest.message


async def test_a_cancelled_update_ends_and_what_it_started_goes(world, clock):
    async with running(world):
        await create(world)
        await settled(world)
        await world.endpoints.update(ANN, "one", config(entity(OTHER)))
        await clock.advance(1)
        await world.endpoints.cancel(ANN, "one")
        await clock.advance(1)
        assert await state(world) == ("READY", "UPDATE_CANCELED")
        await clock.advance(15)
        assert [one.entity_name for one in await replicas(world)] == [GUIDE]
        assert not world.cluster.running("build")


async def test_a_deployment_that_takes_too_long_fails(world, clock):
    world.cluster.build_s = 10_000
    async with running(world):
        await create(world)
        view = await settled(world, limit=2000)
        assert "timed out: guide-1 was not ready within 1800 s" in view.endpoint.latest.message
        await clock.advance(15)
        assert await replicas(world) == []


async def test_a_crashed_replica_is_replaced_with_growing_delays(world, clock):
    async with running(world):
        await create(world)
        await settled(world)
        gaps = []
        for _ in range(4):
            world.cluster.crash(world.cluster.running()[0])
            crashed = clock.monotonic()
            await clock.advance(0.5)
            while not world.cluster.running():
                view = await world.endpoints.get(ANN, "one")
                if not world.table.of("one").entities[0].replicas:
                    assert view.config.statuses["guide-1"].deployment == "DEPLOYMENT_RECOVERING"
                await clock.advance(0.5)
            gaps.append(clock.monotonic() - crashed)
            while not world.table.of("one").entities[0].replicas:
                await clock.advance(0.5)
        assert await state(world) == ("READY", "NOT_UPDATING")
        assert gaps == sorted(gaps)
        assert gaps[3] >= 8


async def test_an_engine_that_falls_silent_is_ended_and_replaced(world, clock):
    async with running(world):
        await create(world)
        await settled(world)
        [before] = await replicas(world)
        world.client.mute = True
        await clock.advance(70)
        world.client.mute = False
        await clock.advance(10)
        [after] = await replicas(world, ReplicaState.READY)
        assert after.id != before.id


async def test_scale_to_zero_and_back_on_demand(world, clock):
    async with running(world):
        await create(world, wish=config(entity(minimum=0)))
        await settled(world)
        world.table.idle["guide-1"] = 1801
        await clock.advance(15)
        assert world.cluster.running() == []
        assert await state(world) == ("READY", "NOT_UPDATING")
        view = await world.endpoints.get(ANN, "one")
        assert view.config.statuses["guide-1"].message == "Scaled to zero."
        route = world.table.of("one").entities[0]
        assert route.scales_to_zero
        assert not route.replicas
        world.reconciler.ask(view.endpoint.id, "guide-1")
        world.table.idle["guide-1"] = 0
        await clock.advance(4)
        assert world.table.of("one").entities[0].replicas


async def test_a_deleted_endpoint_leaves_nothing(world, clock):
    async with running(world):
        await create(world)
        await settled(world)
        assert world.cluster.logs
        await world.endpoints.delete(ANN, "one")
        await clock.advance(20)
        assert world.cluster.running() == []
        assert world.cluster.logs == {}
        async with world.store.unit() as unit:
            assert await unit.endpoints.list(deleted=True) == []
            assert not unit.replicas.by_id
            assert await unit.places.all() == {}


async def test_a_deleted_endpoint_is_asked_no_more_even_where_a_step_is_under_way(world):
    async with running(world):
        made = await create(world)
        await settled(world)
        devices = world.offers.devices

        async def deleting():
            world.offers.devices = devices
            await world.endpoints.delete(ANN, "one")
            assert made.endpoint.id not in world.table.now, "at once"
            return await devices()

        world.offers.devices = deleting
        await world.reconciler.step(made.endpoint.id)
        assert made.endpoint.id not in world.table.now, "the step knew nothing of it"


async def test_the_name_of_a_deleted_endpoint_is_free_at_once(world, clock):
    async with running(world):
        await create(world)
        await settled(world)
        await world.endpoints.delete(ANN, "one")
        await create(world, "one")
        await clock.advance(20)
        assert len(world.cluster.running()) == 1, "the new one's"
        async with world.store.unit() as unit:
            assert len(await unit.endpoints.list(deleted=True)) == 1


async def test_how_replicas_ended_is_forgotten_after_a_week(world, clock):
    async with running(world):
        await create(world)
        await settled(world)
        world.cluster.crash(world.cluster.running()[0])
        await clock.advance(10)
    for days, left in ((6.9, ["failed", "ready"]), (0.2, ["ready"])):
        await clock.advance(86_400 * days)
        said = await world.reconciler.sweep()
        assert said == ("" if "failed" in left else "1 ended replicas forgotten")
        async with world.store.unit() as unit:
            assert [one.state for one in unit.replicas.by_id.values()] == left


async def test_a_killed_server_finds_its_way_back_and_leaves_no_orphan(world, clock):
    async with running(world):
        await create(world)
        await settled(world)
        await create(world, "two", config(entity(OTHER)))
        await clock.advance(1)
    survivors = [*world.cluster.running(), *world.cluster.running("build")]
    assert len(survivors) == 2
    world.server()
    async with running(world):
        await clock.advance(0.1)
        assert all(run.status is not None for run in survivors)
        await settled(world, "two")
        assert await state(world, "one") == ("READY", "NOT_UPDATING")
        assert len(world.cluster.running()) == 2
        assert world.table.of("one").entities[0].replicas


async def test_a_server_that_is_started_again_knows_its_endpoints_before_it_has_looked_at_them(world, clock):
    async with running(world):
        await create(world)
        await settled(world)
        await create(world, "gone", config(entity(OTHER)))
        await clock.advance(0.1)
        await world.endpoints.delete(ANN, "gone")
    world.server()
    await world.reconciler.recover()
    assert [route.name for route in world.table.now.values()] == ["one"]
    [served] = world.table.of("one").entities
    assert (served.name, served.replicas) == ("guide-1", ())


async def test_an_external_model_is_served_again_by_a_server_that_is_started_again(world, clock):
    model = ExternalModel("m", ProviderKind.OPENAI, Task.CHAT, {}, {"openai_api_key": Hidden("k")})
    async with running(world):
        await create(world, "far", ConfigWish(None, externals=(ExternalWish(model),)))
        assert await state(world, "far") == ("READY", "NOT_UPDATING")
        await clock.advance(20)
    world.server()
    await world.reconciler.recover()
    [served] = world.table.of("far").entities
    assert served.external.reader == "ann"
    assert not world.cluster.running()


async def test_what_does_not_fit_says_what_is_missing_and_who_holds_it(world, clock):
    async with running(world):
        await create(world)
        await settled(world)
        world.recipe.memory = 8 * 2**30
        await create(world, "two", config(entity(OTHER)))
        view = await settled(world, "two")
        assert "8,192 MiB of memory is needed and 7,168 is free" in view.endpoint.latest.message
        assert "one (" in view.endpoint.latest.message
        assert await state(world, "one") == ("READY", "NOT_UPDATING")


async def test_throughput_is_reserved_across_endpoints(world, clock):
    async with running(world):
        await create(world)
        await settled(world)
        one = next(
            iter(
                (
                    await world.offers.of_entities((await world.endpoints.get(ANN, "one")).endpoint.active.entities)
                ).values()
            )
        )
        most = one.offer.chunks.chunk * one.offer.chunks.slices
        await world.endpoints.update(ANN, "one", config(entity(minimum=most, maximum=most)))
        assert (await settled(world)).endpoint.latest.outcome == "active"
        await create(world, "two", config(entity(minimum=1)))
        view = await settled(world, "two")
        assert "of the device's throughput is needed and 0.0% is free" in view.endpoint.latest.message
        await world.endpoints.delete(ANN, "one")
        await clock.advance(20)
        await world.endpoints.update(ANN, "two", config(entity(minimum=1)))
        assert (await settled(world, "two")).endpoint.latest.outcome == "active"


async def test_several_entities_share_the_traffic(world, clock):
    wish = config(entity(GUIDE), entity(OTHER), routes=[Route("guide-1", 80), Route("other-1", 20)])
    async with running(world):
        await create(world, wish=wish)
        await settled(world)
        route = world.table.of("one")
        assert [(one.served_entity, one.percentage) for one in route.routes] == [("guide-1", 80), ("other-1", 20)]
        assert all(one.replicas for one in route.entities)


async def test_a_measurement_that_fails_fails_the_deployment(world, clock):
    world.client.fails = "out of memory"
    async with running(world):
        await create(world)
        view = await settled(world)
        assert "its throughput could not be measured: out of memory" in view.endpoint.latest.message
