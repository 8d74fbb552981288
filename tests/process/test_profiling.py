"""A real server that measures: for somebody, without an endpoint; and by itself, what production belies."""

import asyncio
import json
import sqlite3
import subprocess

from stand import PENSTOCK, TOKEN, Stand
from storm import ENDPOINTS, LEGACY, MODEL, Storm
from test_sleep_and_recovery import QUICK, ends_well, serve_tiny

PATH = f"{ENDPOINTS}/profiles/{MODEL}/1"
FALSE = 8
"""The false profile says that requests cost so many times less than they do."""


async def penstock(stand, *arguments):
    """Runs the command as a user would; returns its status and all that it said."""
    command = [PENSTOCK, "profile", MODEL, "1", "--url", stand.url, "--token", TOKEN, *arguments]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


async def test_a_version_is_measured_without_an_endpoint(tmp_path):
    stand = Stand(tmp_path, **QUICK)
    try:
        storm = Storm(stand, 1)
        await stand.start()
        await storm.insist("POST", f"{LEGACY}/registered-models/create", {"name": MODEL})
        await storm.insist("POST", f"{LEGACY}/model-versions/create", {"name": MODEL, "source": "here"})
        await storm.upload(1, 1)

        status, said = await penstock(stand, "--precision", "bf16", "--budget", "1")
        assert status == 0, said
        assert "bf16" in said
        assert "tokens/s at" in said
        assert not stand.engines()
        assert not list((stand.data / "engines" / "logs").rglob("*.log"))

        status, said = await penstock(stand, "--show")
        assert (status, said.strip()) == (1, f"Version 1 of {MODEL} has no profile yet.")
        status, said = await penstock(stand, "--show", "--precision", "bf16")
        assert status == 0, said
        status, said = await penstock(stand, "--precision", "fp8")
        assert (status, said.strip()) == (1, "precision must be one of int8, bf16, but is 'fp8'.")
        assert await stand.stop() == 0
    finally:
        await stand.close()


def falsify(stand):
    """Makes of the only profile one of a device that is faster than it is."""
    with sqlite3.connect(stand.data / "penstock.db") as database:
        ((throughput, curve, cost),) = database.execute("SELECT throughput, curve, cost FROM profiles")
        curve = [[parallel, speed * FALSE, *rest] for parallel, speed, *rest in json.loads(curve)]
        cost = [*(value / FALSE for value in json.loads(cost)[:5]), 0.0]
        values = (throughput * FALSE, json.dumps(curve), json.dumps(cost))
        database.execute("UPDATE profiles SET throughput = ?, curve = ?, cost = ?", values)


def upgrade(stand):
    """Makes of all that was measured what another engine did."""
    with sqlite3.connect(stand.data / "penstock.db") as database:
        database.execute("UPDATE profiles SET engine = 'an older one'")


async def test_what_production_belies_is_marked_and_measured_again_when_it_is_quiet(tmp_path):
    stand = Stand(tmp_path, **QUICK, PENSTOCK_SERVING_DRIFT_WINDOW_S="30", PENSTOCK_SERVING_PROFILE_IDLE_S="1")
    try:
        storm = await serve_tiny(stand, "belied")
        assert await stand.stop() == 0
        falsify(stand)
        await stand.start()
        await storm.settled("belied")
        _, false = await storm.call("GET", PATH)
        streams = [asyncio.create_task(storm.streams("belied")) for _ in range(2 * false["profile"]["knee"])]

        async def marked():
            _, found = await storm.call("GET", PATH)
            return found["profile"]["stale"]

        await stand.until(marked, 60, "noticing that requests cost more")
        _, told = await storm.call("GET", f"{ENDPOINTS}/belied/throughput")
        (entity,) = told["served_entities"]
        assert "more of the device than was measured" in entity["stale"]
        assert entity["drift"]["error"] > 0.15
        assert [one["reason"] for one in told["decisions"] if one["kind"] == "drifted"]

        storm.stopping.set()
        await asyncio.gather(*streams)

        async def renewed():
            return not await marked()

        await stand.until(renewed, 60, "measuring again")
        _, found = await storm.call("GET", PATH)
        assert found["profile"]["measured_at"] > false["profile"]["measured_at"]
        assert found["profile"]["throughput"] < false["profile"]["throughput"]
        assert await stand.stop() == 0

        upgrade(stand)
        await stand.start()
        assert (await storm.settled("belied"))["state"]["ready"] == "READY"
        await ends_well(storm, "belied")
        await stand.until(renewed, 60, "measuring with the new engine")
        _, newest = await storm.call("GET", PATH)
        assert newest["profile"]["measured_at"] > found["profile"]["measured_at"]
        assert "to be measured again: The engine was an older one and is penstock-cpu" in stand.log.read_text()
        assert await stand.stop() == 0
    finally:
        await stand.close()
