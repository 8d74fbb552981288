"""A real server whose cores are two devices: what one cannot give starts a replica on the other, which goes again."""

import asyncio
import os

import pytest
from fault_calls import rows
from stand import Stand
from storm import ENDPOINTS, MODEL, serve_tiny

CORES = len(os.sched_getaffinity(0))
SOON = {
    "PENSTOCK_SCALING_MEAN_S": "2",
    "PENSTOCK_SCALING_BURST_S": "1",
    "PENSTOCK_SCALING_DRAIN_S": "2",
    "PENSTOCK_SCALING_DOWN_S": "2",
    "PENSTOCK_SCALING_DOWN_SLOW_S": "2",
    # Clients that wait for their answers never ask for much more than they get.
    "PENSTOCK_SCALING_TARGET": "0.5",
}


@pytest.mark.skipif(CORES < 2, reason="one core is one device")
async def test_demand_beyond_a_device_starts_a_replica_on_another_and_its_end_ends_it(tmp_path):
    stand = Stand(tmp_path, **SOON, PENSTOCK_SERVING_PROFILE_BUDGET_S="1", PENSTOCK_SERVING_DEVICES="2")
    try:
        storm = await serve_tiny(stand, "wide")
        _, info = await storm.call("GET", f"{ENDPOINTS}/get-model-optimization-info/{MODEL}/1")
        chunk, slices = info["throughput_chunk_size"], info["slices"]
        band = {"min_provisioned_throughput": chunk, "max_provisioned_throughput": 2 * chunk * slices}
        entity = {"entity_name": MODEL, "entity_version": "1", **band}
        status, answer = await storm.call("PUT", f"{ENDPOINTS}/wide/config", {"served_entities": [entity]})
        assert status == 200, answer
        assert (await storm.settled("wide"))["state"]["config_update"] == "NOT_UPDATING"
        [first] = stand.engines()
        demand = [asyncio.create_task(storm.streams("wide")) for _ in range(32)]

        async def told(path):
            status, answer = await storm.call("GET", f"{ENDPOINTS}/wide/{path}")
            assert status == 200, answer
            return answer

        async def beyond_one_device():
            [served] = (await told("throughput"))["served_entities"]
            return served["allotment"] > chunk * slices * 1.001

        await stand.until(beyond_one_device, 120, "a further replica to be ready and allotted its part")
        cores = [os.sched_getaffinity(engine.pid) for engine in stand.engines()]
        assert len(cores) == 2
        assert not cores[0] & cores[1]
        storm.stopping.set()
        await asyncio.gather(*demand)

        async def one_left():
            return len(stand.engines()) == 1

        await stand.until(one_left, 120, "the further replica to end")
        assert [engine.pid for engine in stand.engines()] == [first.pid], "the first, which the minimum is for"
        decisions = (await told("scaling-decisions?limit=200"))["decisions"]
        assert any(one["kind"] == "started" for one in decisions)
        seen = storm.promises.streams
        assert {one.ended for one in seen if one.status == 200} == {"done"}, "the one that ended was drained"
        assert {one.status for one in seen} <= {200, 429}
        assert await stand.stop() == 0
        found = rows(stand, "outcome", "replica_id").values()
        assert len({replica for outcome, replica in found if outcome == "completed"}) == 2
    finally:
        await stand.close()
