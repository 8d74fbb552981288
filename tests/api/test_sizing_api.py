"""Sizes in model units and in provisioned concurrency, and the changes of allotments."""

import pytest

from penstock.domain.endpoint import Outcome
from penstock.domain.scaling import Kind
from penstock.domain.scaling_record import ScalingRecord
from penstock.testing.serving import add_model

ROOT = "/api/2.0/serving-endpoints"
GUIDE = "main.default.guide"


@pytest.fixture
async def model(store):
    await add_model(store, GUIDE)


def body(**size):
    entity = {"entity_name": GUIDE, "entity_version": "1", **size}
    return {"name": "one", "config": {"served_entities": [entity]}}


async def entity_of(world, name="one"):
    async with world.store.unit() as unit:
        endpoint = await unit.endpoints.by_name(name)
    return endpoint.latest.entities[0]


async def test_model_units_are_chunks_and_echoed_without_throughputs(admin, world, model):
    answer = await admin.post(ROOT, json=body(provisioned_model_units=50, burst_scaling_enabled=False))
    assert answer.status_code == 200, answer.text
    one = answer.json()["pending_config"]["served_entities"][0]
    assert one["provisioned_model_units"] == 50
    assert not {"min_provisioned_throughput", "burst_scaling_enabled"} & one.keys()
    stored = await entity_of(world)
    chunk = (await world.offers.of_entities([stored]))[stored.spec].offer.chunks.chunk
    assert (stored.min_provisioned_throughput, stored.max_provisioned_throughput) == (chunk, chunk)
    assert stored.band(2 * chunk) == (2 * chunk, 2 * chunk)
    assert not stored.bursts


async def test_concurrency_is_a_quarter_of_a_chunk_each(admin, world, model):
    answer = await admin.post(ROOT, json=body(min_provisioned_concurrency=0, max_provisioned_concurrency=4))
    one = answer.json()["pending_config"]["served_entities"][0]
    assert (one["min_provisioned_concurrency"], one["max_provisioned_concurrency"]) == (0, 4)
    stored = await entity_of(world)
    assert stored.band(850) == (0, 850)
    assert stored.scales_to_zero
    assert stored.bursts


@pytest.mark.parametrize(
    ("size", "to_zero", "band"),
    [("Small", False, (850, 850)), ("Medium", True, (0, 3400)), ("Large", None, (3400, 13600))],
)
@pytest.mark.usefixtures("model")
async def test_a_size_by_name_is_one_of_concurrency(admin, world, size, to_zero, band):
    answer = await admin.post(ROOT, json=body(workload_size=size, scale_to_zero_enabled=to_zero))
    one = answer.json()["pending_config"]["served_entities"][0]
    assert one["workload_size"] == size
    assert "max_provisioned_concurrency" not in one
    stored = await entity_of(world)
    assert (stored.band(850), stored.workload_size) == (band, size)


async def test_a_size_by_name_is_kept_by_an_update_of_the_traffic_and_must_be_known(admin, clock, world, model):
    refused = await admin.post(ROOT, json=body(workload_size="Huge"))
    assert (refused.status_code, "workload_size" in refused.json()["message"]) == (400, True)
    await admin.post(ROOT, json=body(workload_size="Small"))
    name = (await entity_of(world)).name
    async with world.store.unit() as unit:
        made = await unit.endpoints.by_name("one")
        await unit.endpoints.end(made.id, 1, Outcome.ACTIVE, "", 1)
    routes = [{"served_entity_name": name, "traffic_percentage": 100}]
    await admin.put(f"{ROOT}/one/config", json={"traffic_config": {"routes": routes}})
    assert (await entity_of(world)).workload_size == "Small"


@pytest.mark.parametrize(
    ("size", "says"),
    [
        ({"provisioned_model_units": 75}, "provisioned_model_units of 'guide-1' must be a multiple of 50"),
        ({"provisioned_model_units": 0}, "at least 50"),
        ({"min_provisioned_concurrency": 4, "max_provisioned_concurrency": 6}, "must be a multiple of 4"),
        ({"min_provisioned_concurrency": 8, "max_provisioned_concurrency": 4}, "must not be more than"),
        ({"min_provisioned_concurrency": 0, "max_provisioned_concurrency": 0}, "at least 4"),
        ({"max_provisioned_concurrency": 4}, "min_provisioned_concurrency of 'guide-1' must be given"),
        ({"provisioned_model_units": 50, "max_provisioned_throughput": 100}, "different units"),
        ({"min_provisioned_concurrency": 4, "min_provisioned_throughput": 100}, "different units"),
        ({}, "min_provisioned_throughput and max_provisioned_throughput of 'guide-1' must be given"),
    ],
)
async def test_a_size_is_said_in_one_way_and_whole(admin, model, size, says):
    answer = await admin.post(ROOT, json=body(**size))
    assert answer.status_code == 400
    assert says in answer.json()["message"]


async def test_the_route_of_model_units_creates_and_updates(admin, world, model):
    refused = await admin.post(f"{ROOT}/pt", json=body(min_provisioned_throughput=10, max_provisioned_throughput=20))
    assert (refused.status_code, "provisioned_model_units" in refused.json()["message"]) == (400, True)
    assert (await admin.post(f"{ROOT}/pt", json={"name": "one"})).status_code == 400
    made = await admin.post(f"{ROOT}/pt", json=body(provisioned_model_units=50))
    assert made.status_code == 200
    assert (await admin.post(f"{ROOT}/one/config:cancel")).status_code == 200
    config = {"served_entities": [{"entity_name": GUIDE, "entity_version": "1", "provisioned_model_units": 60}]}
    wrong = await admin.put(f"{ROOT}/pt/one/config", json={"config": config})
    assert wrong.status_code in {400, 409}
    unknown = await admin.put(f"{ROOT}/pt/other/config", json={"config": config})
    assert unknown.status_code == 404
    assert (await admin.put(f"{ROOT}/pt/one/config", json=config)).status_code == 400


async def test_an_old_family_is_not_said_to_be_sold_in_units(admin, model):
    info = (await admin.get(f"{ROOT}/get-model-optimization-info/{GUIDE}/1")).json()
    assert info["throughput_chunk_size"] > 0
    assert "model_unit_chunk_size" not in info


async def test_changes_of_allotments_newest_first_for_who_may_see_them(admin, anonymous, store, model):
    made = (await admin.post(ROOT, json=body(provisioned_model_units=50))).json()
    changes = [
        ScalingRecord(
            made["id"],
            "guide-1",
            at,
            850,
            1700,
            Kind.UP,
            f"At {at}.",
            850,
            900,
            1600,
            0,
            2,
            4000,
            850,
            3400,
            4.2,
            "cpu0, cpu1",
        )
        for at in (1, 2, 3)
    ]
    async with store.unit() as unit:
        await unit.scaling.add(changes)
    path = f"{ROOT}/one/scaling-decisions"
    found = (await admin.get(path, params={"limit": 2})).json()["decisions"]
    assert [one["reason"] for one in found] == ["At 3.", "At 2."]
    assert (found[0]["old"], found[0]["new"], found[0]["kind"]) == (850, 1700, "up")
    assert (found[0]["min_provisioned_throughput"], found[0]["max_provisioned_throughput"]) == (850, 3400)
    assert (found[0]["startup_s"], found[0]["devices"]) == (4.2, ["cpu0", "cpu1"])
    assert (await admin.get(path, params={"limit": 0})).status_code == 400
    assert (await admin.get(f"{ROOT}/none/scaling-decisions")).status_code == 404
    assert (await anonymous.get(path)).status_code == 401
