"""What no engine here serves is refused where it is asked for, with the reason."""

import pytest
from serving_wishes import ANN, GUIDE, create, running, settled, state

from penstock.control.profiles import Wish
from penstock.domain.errors import Conflict, EngineFailed, InvalidParameter
from penstock.domain.names import ModelName

NAME = ModelName.parse(GUIDE)
WHY = "the engine has lost this family"


@pytest.fixture
def refused(world):
    world.recipe.refused["LlamaForCausalLM"] = WHY


@pytest.mark.usefixtures("refused")
async def test_an_endpoint_is_not_made_of_it(world):
    with pytest.raises(InvalidParameter, match=f"Served entity 'guide-1': version 1 of .*cannot be served here: {WHY}"):
        await create(world)
    assert not await world.endpoints.list(ANN)


@pytest.mark.usefixtures("refused")
async def test_it_is_told_not_to_be_optimizable_and_not_measured(world):
    info = await world.optimization.info(ANN, NAME, 1)
    assert (info.chunks, info.model_type) == (None, "llama")
    assert WHY in info.problem
    with pytest.raises(Conflict, match=WHY):
        await world.profiles.start(ANN, NAME, 1, Wish())


@pytest.mark.usefixtures("refused")
async def test_a_forecast_says_so_too(world):
    async with world.store.unit() as unit:
        version = await unit.catalog.version(GUIDE, 1)
    assert (await world.offers.forecast(version.facts)).refusal == WHY


async def test_an_endpoint_whose_engine_refuses_it_later_is_not_started_again(world, clock):
    async with running(world):
        await create(world)
        await settled(world)
    for run in world.cluster.running():
        world.cluster.crash(run)
    world.recipe.refused["LlamaForCausalLM"] = WHY
    world.server()
    await world.reconciler.recover()
    async with running(world):
        await clock.advance(30)
    assert not world.cluster.running()


async def test_files_that_the_engine_cannot_follow_fail_the_replica_with_its_reason(world, monkeypatch):
    def refuses(*_):
        raise EngineFailed("Pooling pooling_mode_max_tokens cannot be served.")

    monkeypatch.setattr(world.recipe, "serve", refuses)
    async with running(world):
        await create(world)
        view = await settled(world)
    assert (await state(world))[1] == "UPDATE_FAILED"
    assert "pooling_mode_max_tokens" in str(view.endpoint.latest.message)
