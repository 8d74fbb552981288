"""Endpoints of LoRA adapters on their base's replica, in virtual time."""

from dataclasses import replace
from pathlib import Path

import pytest
from serving_wishes import ANN, BOB, GUIDE, OTHER, config, create, entity, running, settled

from penstock.control.bases import Bases
from penstock.control.endpoint_wishes import EndpointWish
from penstock.control.usage_of_models import endpoints_using
from penstock.domain.errors import Conflict, InvalidParameter, PermissionDenied
from penstock.domain.foundation import Foundation, FoundationModel
from penstock.domain.model import Task
from penstock.domain.names import ModelName
from penstock.testing.serving import add_model

LEGAL, MEDICAL = "main.default.legal", "main.default.medical"
PATH = {name: Path("/models") / name for name in (LEGAL, MEDICAL)}


@pytest.fixture
async def world(world):
    await add_model(world.store, LEGAL, base=f"{GUIDE}/1")
    await add_model(world.store, MEDICAL, base=GUIDE)
    return world


async def serve(world, name, model, **more):
    await create(world, name, config(entity(model, **more)))
    return await settled(world, name)


def served(world, name):
    """The addresses that an endpoint is served at."""
    return [one.address for one in world.table.of(name).entities[0].replicas]


def loaded(world):
    """The adapters of the only engine, by name."""
    [run] = world.cluster.running()
    return world.client.adapters.get(run.launch.command[2], {})


async def test_a_model_and_two_adapters_are_served_by_one_engine(world):
    async with running(world):
        await serve(world, "legal", LEGAL)
        await serve(world, "base", GUIDE)
        view = await serve(world, "medical", MEDICAL)
        [run] = world.cluster.running()
        assert [one.kind for one in world.cluster.runs.values()] == ["build", "serve"]
        assert str(Path("/models") / GUIDE) in run.launch.command
        assert served(world, "legal") == served(world, "base") == served(world, "medical") != []
        assert loaded(world) == {f"{name}/1": path for name, path in PATH.items()}
        told = {name: world.table.of(name).entities[0].adapter for name in ("legal", "base", "medical")}
        assert told == {"legal": f"{LEGAL}/1", "base": "", "medical": f"{MEDICAL}/1"}
        [status] = view.config.statuses.values()
        assert (status.deployment, status.message) == ("DEPLOYMENT_READY", "")
        shares = [world.table.of(name).entities[0].replicas[0].share for name in told]
        assert all(0 < share < 0.9 for share in shares)


async def test_an_engine_without_room_gives_way_to_one_with_room_and_nobody_waits(world, clock):
    async with running(world):
        await serve(world, "base", GUIDE)
        [before] = served(world, "base")
        world.table.history.clear()
        await serve(world, "legal", LEGAL)
        await clock.advance(30)
        assert served(world, "base") == served(world, "legal") != [before]
        assert len(world.cluster.running()) == 1
        told = [route for route in world.table.history if route is not None and route.name == "base"]
        assert all(route.entities[0].replicas for route in told)
        before = len(world.cluster.runs)
        await serve(world, "medical", MEDICAL)
        assert len(world.cluster.runs) == before


async def test_an_endpoint_waits_for_its_adapter_and_says_so(world, clock):
    world.client.busy_adapters = "all KV blocks are taken"
    async with running(world):
        await serve(world, "base", GUIDE)
        await create(world, "legal", config(entity(LEGAL)))
        await clock.advance(20)
        view = await world.endpoints.get(ANN, "legal")
        [status] = view.pending.statuses.values()
        assert status.deployment == "DEPLOYMENT_CREATING"
        assert status.message == "An engine with room for it is to come."
        await clock.advance(100)
        [status] = (await world.endpoints.get(ANN, "legal")).pending.statuses.values()
        assert (status.deployment, status.message) == ("DEPLOYMENT_CREATING", "Loading the adapter.")
        assert served(world, "base") != []
        world.client.busy_adapters = ""
        assert (await settled(world, "legal", limit=5)).endpoint.ready == "READY"


async def test_an_adapter_that_its_base_refuses_fails_its_own_deployment_only(world, clock):
    async with running(world):
        await serve(world, "medical", MEDICAL)
        world.client.refuses_adapters = "it was made for another model"
        view = await serve(world, "legal", LEGAL)
        [status] = view.config.statuses.values()
        why = f"Adapter {LEGAL}/1 cannot be loaded: it was made for another model"
        assert (status.deployment, status.message) == ("DEPLOYMENT_FAILED", why)
        await clock.advance(30)
        assert served(world, "medical") != []
        assert list(loaded(world)) == [f"{MEDICAL}/1"]


async def test_after_a_crash_and_after_a_restart_adapters_are_there_before_they_are_asked(world, clock):
    async with running(world):
        await serve(world, "legal", LEGAL)
        await serve(world, "medical", MEDICAL)
        [run] = world.cluster.running()
        world.cluster.crash(run, 134)
        world.client.busy_adapters = "not yet"
        await clock.advance(20)
        assert served(world, "legal") == served(world, "medical") == []
        [status] = (await world.endpoints.get(ANN, "legal")).config.statuses.values()
        assert status.deployment == "DEPLOYMENT_RECOVERING"
        assert status.message.startswith("Loading the adapter. The last replica failed")
        world.client.busy_adapters = ""
        await clock.advance(5)
        assert sorted(loaded(world)) == [f"{LEGAL}/1", f"{MEDICAL}/1"]
        assert served(world, "legal") == served(world, "medical") != []
    world.server()
    async with running(world):
        await clock.advance(20)
        assert sorted(loaded(world)) == [f"{LEGAL}/1", f"{MEDICAL}/1"]
        assert served(world, "legal") == served(world, "medical") != []


async def test_an_adapter_goes_when_nobody_wants_it_and_nobody_uses_it(world, clock):
    async with running(world):
        await serve(world, "base", GUIDE)
        for name, model in (("legal", LEGAL), ("again", LEGAL), ("medical", MEDICAL)):
            await serve(world, name, model)
        await world.endpoints.delete(ANN, "legal")
        await clock.advance(20)
        assert sorted(loaded(world)) == [f"{LEGAL}/1", f"{MEDICAL}/1"]
        world.client.busy_adapters = "requests run with it"
        await world.endpoints.delete(ANN, "again")
        await clock.advance(20)
        assert sorted(loaded(world)) == [f"{LEGAL}/1", f"{MEDICAL}/1"]
        world.client.busy_adapters = ""
        await clock.advance(5)
        assert list(loaded(world)) == [f"{MEDICAL}/1"]
        await world.endpoints.update(ANN, "medical", config(entity(LEGAL)))
        await settled(world, "medical")
        await clock.advance(5)
        assert list(loaded(world)) == [f"{LEGAL}/1"]


async def test_one_that_is_asleep_is_served_by_the_engine_that_runs(world, clock):
    async with running(world):
        await serve(world, "base", GUIDE)
        await serve(world, "legal", LEGAL, minimum=0)
        world.table.idle["legal-1"] = 10_000
        await clock.advance(20)
        assert served(world, "legal") == []
        world.table.idle.clear()
        world.reconciler.ask(world.table.of("legal").id, "legal-1")
        await clock.advance(1)
        assert served(world, "legal") == served(world, "base")


async def test_a_base_that_an_adapter_needs_stays(world):
    async with running(world):
        await serve(world, "legal", LEGAL)
        async with world.store.unit() as unit:
            assert await endpoints_using(unit, GUIDE, 1) == ["legal"]
            assert await endpoints_using(unit, GUIDE) == ["legal"]
            assert await endpoints_using(unit, LEGAL, 1) == ["legal"]
            assert await endpoints_using(unit, GUIDE, 2) == await endpoints_using(unit, OTHER) == []


async def test_what_is_said_of_an_adapter_is_its_base_on_an_engine_with_room(world):
    async with running(world):
        await serve(world, "base", GUIDE)
        its, own = [await world.optimization.info(ANN, ModelName.parse(name), 1) for name in (GUIDE, LEGAL)]
        assert (its.profile is not None, own.profile) == (True, None)
        await serve(world, "legal", LEGAL)
        its, own = [await world.optimization.info(ANN, ModelName.parse(name), 1) for name in (GUIDE, LEGAL)]
        assert replace(own, base="") == its
        assert (its.base, own.base) == ("", f"{GUIDE}/1")
        assert own.profile.fingerprint.engine == "fake 1 with room for adapters of rank 32"
        with pytest.raises(Conflict, match="is sold by its base's profile"):
            await world.profiles.get(ANN, ModelName.parse(LEGAL), 1)


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ("", "that does not say of which model. Name it in the version's tag 'base_model'"),
        ("main.default.gone", "of 'main.default.gone': there is no version of model 'main.default.gone' that is"),
        (f"{GUIDE}/7", "there is no version 7 of model 'main.default.guide'."),
        ("someone/llama", "of 'someone/llama': that is no model here."),
        (f"{LEGAL}/1", "version 1 of model 'main.default.legal' is an adapter itself."),
        ("main.default.vectors", "adapters of BertModel models cannot be served; merge it into its base model"),
        ("main.default.broken", "version 1 of model 'main.default.broken' cannot be served: no weights"),
        ("main.default.words", "for llm/v1/chat, but its base, version 1 of model 'main.default.words', serves"),
    ],
)
async def test_without_a_base_that_fits_the_reason_is_told(world, base, said):
    await add_model(world.store, "main.default.words", task=Task.COMPLETIONS)
    await add_model(world.store, "main.default.broken", problem="no weights")
    await add_model(world.store, "main.default.vectors", task=Task.EMBEDDINGS, architecture="BertModel")
    await add_model(world.store, "main.default.lost", base=base)
    with pytest.raises(InvalidParameter) as error:
        await create(world, "lost", config(entity("main.default.lost")))
    assert "Served entity 'lost-1': version 1 of model 'main.default.lost' is a LoRA adapter" in error.value.message
    assert said in error.value.message
    info = await world.optimization.info(ANN, ModelName.parse("main.default.lost"), 1)
    assert info.chunks is None
    assert said in info.problem


async def test_the_base_is_for_those_who_may_use_it(world):
    await add_model(world.store, "closed.default.guide")
    async with world.store.unit() as unit:
        await unit.grants.put("closed", {})
    await add_model(world.store, "main.default.thief", base="closed.default.guide")
    with pytest.raises(PermissionDenied, match="closed"):
        await world.endpoints.create(BOB, EndpointWish("theft", config(entity("main.default.thief"))))
    with pytest.raises(PermissionDenied, match="closed"):
        await world.optimization.info(BOB, ModelName.parse("main.default.thief"), 1)


async def test_a_hub_repository_is_the_foundation_model_whose_weights_are_here(world):
    tiny = FoundationModel(
        name="tiny", display_name="Tiny", repository="Org/Tiny", family="llama", task=Task.CHAT, context=4096,
        licence="mit",
    )  # fmt: skip
    world.offers.bases = Bases(world.recipe, Foundation((tiny,)))
    await add_model(world.store, "main.default.tuned", base="org/tiny")
    with pytest.raises(InvalidParameter, match="not here, and `penstock models pull tiny` brings them"):
        await create(world, "tuned", config(entity("main.default.tuned")))
    await add_model(world.store, "system.ai.tiny")
    assert await base_of(world, "main.default.tuned") == ("system.ai.tiny", "1")


async def test_a_tag_names_the_base_and_weights_beside_the_adapter_are_the_last_resort(world):
    name = "main.default.logged"
    await add_model(world.store, name, base="/home/ann/llama", alone=False)
    assert await base_of(world, name) == (name, "1")
    async with world.store.unit() as unit:
        await unit.catalog.set_tag(ModelName.parse(name), 1, "base_model", GUIDE)
    assert await base_of(world, name) == (GUIDE, "1")


async def base_of(world, model):
    """What a new endpoint of an adapter would run on."""
    count = len(world.store.rows.endpoints.by_key)
    view = await create(world, f"endpoint-{count}", config(entity(model)))
    return view.pending.config.entities[0].base


async def test_what_fails_again_and_again_is_told_once(world, clock, caplog):
    world.client.busy_adapters = "all KV blocks are taken"
    async with running(world):
        await create(world, "legal", config(entity(LEGAL)))
        await clock.advance(60)
    said = [one.getMessage() for one in caplog.records if one.name == "penstock.control.adapting"]
    assert said == [f"loading adapter {LEGAL}/1: all KV blocks are taken"]
