"""What is told of an endpoint's throughput."""

from dataclasses import replace

from penstock.domain.scaling import Kind
from penstock.domain.scaling_record import ScalingRecord
from penstock.domain.scaling_room import Part
from penstock.domain.usage import RequestOutcome, RequestRecord, Usage
from penstock.ports.capacity import Reading
from penstock.testing.serving import add_model

ROOT = "/api/2.0/serving-endpoints"


async def made(admin, store, world):
    await add_model(store)
    entity = {
        "entity_name": "main.default.guide",
        "entity_version": 1,
        "min_provisioned_throughput": 100,
        "max_provisioned_throughput": 200,
        "name": "it",
    }
    created = await admin.post(ROOT, json={"name": "guide", "config": {"served_entities": [entity]}})
    assert created.status_code == 200
    endpoint_id = created.json()["id"]
    world.capacity.set(Reading(endpoint_id, "it", 0, 0, 500, 3, 2, 150, 100, 200, 1000, 50, 1.25, 80))
    return endpoint_id


async def test_demand_attained_queue_and_decisions_are_told(admin, store, world, clock):
    endpoint_id = await made(admin, store, world)
    for _ in range(11):
        await world.throughput.step()
        world.capacity.offer(endpoint_id, "it", 120)
        await clock.advance(1)
    async with store.unit() as unit:
        await unit.scaling.add(
            [ScalingRecord(endpoint_id, "it", 5, 100, 150, Kind.UP, "Demand rose.", 50, 120, 130, 500, 3, 400)]
        )
    answer = await admin.get(f"{ROOT}/guide/throughput")
    assert answer.status_code == 200
    body = answer.json()
    (entity,) = body["served_entities"]
    assert entity["demand"] == 120
    assert entity["attained"] == 0
    assert entity["allotment"] == 150
    assert entity["provisioned_concurrency"] == 12
    assert entity["queue"] == {"requests": 3, "tokens": 500}
    assert entity["predicted_wait_s"] == 1.25
    assert entity["mean_output_tokens"] == 80
    (decision,) = body["decisions"]
    assert decision["reason"] == "Demand rose."


async def test_what_others_use_of_the_device_is_told(admin, store, world, clock):
    endpoint_id = await made(admin, store, world)
    here, elsewhere = ((Part(device, 100, 150),) for device in ("cpu", "cpu1"))
    mine = Reading(endpoint_id, "it", 0, 0, 0, 0, 0, 150, 100, 200, 1000, 50, 0, parts=here)
    for second in range(11):
        for name, rate, parts in (("it", 100, here), ("other", 300, here), ("far", 900, elsewhere)):
            owner = endpoint_id if name == "it" else name
            world.capacity.set(replace(mine, endpoint_id=owner, entity=name, attained=rate * second, parts=parts))
        await world.throughput.step()
        await clock.advance(1)
    (entity,) = (await admin.get(f"{ROOT}/guide/throughput")).json()["served_entities"]
    assert (entity["attained"], entity["device_used"]) == (100, 0.4)


async def test_prometheus_reads_the_same_numbers(admin, store, world, clock):
    endpoint_id = await made(admin, store, world)
    outcomes = [(RequestOutcome.COMPLETED, 200), (RequestOutcome.REJECTED, 429), (RequestOutcome.FAILED, 500)]
    world.throughput.hear(
        [
            RequestRecord(f"q{n}", endpoint_id, "guide", "it", "r", "ann", "", False, at, outcome, status, Usage(),
                          1.0, 2.0, 30.0)
            for n, (outcome, status) in enumerate(outcomes)
            for at in (clock.now_ms() - 30, clock.now_ms() - 120_000)
        ]
    )  # fmt: skip
    text = (await admin.get(f"{ROOT}/guide/metrics")).text
    assert 'provisioned_concurrent_requests_total{endpoint_name="guide",served_entity_name="it"} 12.0' in text
    assert 'penstock_queue_requests{endpoint_name="guide",served_entity_name="it"} 3.0' in text
    assert 'request_count_total{endpoint_name="guide"} 3.0' in text
    assert 'request_4xx_count_total{endpoint_name="guide"} 1.0' in text
    assert 'request_5xx_count_total{endpoint_name="guide"} 1.0' in text
    assert 'request_latency_ms_bucket{endpoint_name="guide",le="25.0"} 0.0' in text
    assert 'request_latency_ms_bucket{endpoint_name="guide",le="50.0"} 3.0' in text
    assert 'request_latency_ms_bucket{endpoint_name="guide",le="+Inf"} 3.0' in text
    assert 'request_latency_ms_sum{endpoint_name="guide"} 90.0' in text
    assert 'model_queue_time_ms_count{endpoint_name="guide"} 3.0' in text
    assert 'model_prediction_latency_ms_count{endpoint_name="guide"} 3.0' in text
    assert 'model_prediction_latency_ms_sum{endpoint_name="guide"} 87.0' in text
    await clock.advance(60)
    await world.throughput.step()
    text = (await admin.get(f"{ROOT}/guide/metrics")).text
    assert 'request_count_total{endpoint_name="guide"} 0.0' in text


async def test_strangers_and_unknown_names_are_refused(admin, anonymous, store, world):
    await made(admin, store, world)
    assert (await anonymous.get(f"{ROOT}/guide/throughput")).status_code == 401
    assert (await admin.get(f"{ROOT}/nobody/metrics")).status_code == 404
