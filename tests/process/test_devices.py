"""A real server whose cores are two devices: more than one of them has is served by an engine on each."""

import asyncio
import os
import sqlite3

import pytest
from stand import Stand
from storm import ENDPOINTS, MODEL
from test_sleep_and_recovery import QUICK, serve_tiny

CORES = len(os.sched_getaffinity(0))


@pytest.mark.skipif(CORES < 2, reason="one core is one device")
async def test_what_one_device_cannot_give_is_served_by_two(tmp_path):
    stand = Stand(tmp_path, **QUICK, PENSTOCK_SERVING_DEVICES="2")
    try:
        storm = await serve_tiny(stand, "wide")
        status, info = await storm.call("GET", f"{ENDPOINTS}/get-model-optimization-info/{MODEL}/1")
        assert status == 200
        chunk, slices = info["throughput_chunk_size"], info["slices"]
        entity = {"entity_name": MODEL, "entity_version": "1"}

        async def update(tokens_per_s):
            band = {"min_provisioned_throughput": tokens_per_s, "max_provisioned_throughput": tokens_per_s}
            answer = await storm.call("PUT", f"{ENDPOINTS}/wide/config", {"served_entities": [{**entity, **band}]})
            return answer, await storm.settled("wide")

        (status, _), settled = await update(chunk * (slices + 1))
        assert (status, settled["state"]["config_update"]) == (200, "NOT_UPDATING"), settled
        cores = [os.sched_getaffinity(engine.pid) for engine in stand.engines()]
        assert [len(one) for one in cores] == [CORES // 2] * 2
        assert not cores[0] & cores[1]
        logs = sorted(path.name for path in (stand.data / "engines" / "logs").rglob("server*.log"))
        assert logs == ["server-cpu0.log", "server-cpu1.log"]
        served = settled["config"]["served_entities"][0]["name"]
        status, told = await storm.call("GET", f"{ENDPOINTS}/wide/served-models/{served}/logs")
        assert status == 200
        assert told["logs"].count("==> cpu0 <==") == told["logs"].count("==> cpu1 <==") == 1
        await asyncio.gather(*(storm.stream("wide") for _ in range(24)))
        assert {(seen.status, seen.ended) for seen in storm.promises.streams} == {(200, "done")}

        (status, answer), settled = await update(chunk * (2 * slices + 1))
        assert status == 400
        assert "Insufficient capacity on cpu0, cpu1" in answer["message"]
        assert settled["state"]["ready"] == "READY"

        assert await stand.stop() == 0
        with sqlite3.connect(stand.data / "penstock.db") as database:
            used = {row[0] for row in database.execute("SELECT DISTINCT replica_id FROM requests")}
        assert len(used - {""}) == 2
    finally:
        await stand.close()
