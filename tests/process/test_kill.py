"""The server and its engines are killed at random moments; nothing that was accepted may be lost or doubled."""

import asyncio
import contextlib
import os
import random
import sqlite3
import subprocess

import pytest
from stand import PENSTOCK, Stand
from storm import LEGACY, MODEL, Storm

from penstock.adapters.clock import SystemClock
from penstock.adapters.journal import FileJournal
from penstock.adapters.store.store import SqlStore
from penstock.control.ledger import LedgerKeeper
from penstock.control.ledger_minutes import LedgerMinutes
from penstock.testing.clock import FakeClock
from penstock.testing.tiny_llama import version_files

SEEDS = [int(seed) for seed in os.environ.get("STORM_SEEDS", "1,2").split(",")]
KILLS = ("server", "engine", "both")


@pytest.fixture
async def stand(tmp_path):
    made = Stand(tmp_path, PENSTOCK_SERVING_PROFILE_BUDGET_S="1")
    yield made
    await made.close()


async def kill_at_random(stand, chance):
    """Kills what it is told to at random moments, and starts the server again."""
    for what in KILLS:
        await asyncio.sleep(chance.uniform(0.3, 2.5))
        engines = stand.engines()
        if what == "both":
            for engine in engines:
                engine.kill()
        if what != "engine":
            await stand.kill()
            await stand.start()
        elif engines:
            chance.choice(engines).kill()
    await asyncio.sleep(1)


async def run_storm(stand, storm, seed):
    """One storm: returns when everything that was begun has come to an end."""
    await storm.insist("POST", f"{LEGACY}/registered-models/create", {"name": MODEL})
    status, answer = await storm.call(
        "POST", f"{LEGACY}/model-versions/create", {"name": MODEL, "source": "here", "run_id": ""}
    )
    assert (status, answer["model_version"]["version"]) == (200, "1")
    await storm.upload(1, 1)
    entity = await storm.deploy("steady", 1)
    assert (await storm.settled("steady"))["state"]["ready"] == "READY"
    chance = random.Random(seed)
    actors = [
        asyncio.create_task(work)
        for work in (
            storm.uploads(),
            storm.updates("steady", entity),
            storm.streams("steady"),
            storm.streams("steady"),
            storm.streams("steady"),
            storm.hang_ups("steady"),
        )
    ]
    building = asyncio.create_task(storm.deploy("built-meanwhile", 1))
    await kill_at_random(stand, chance)
    storm.stopping.set()
    await asyncio.wait_for(asyncio.gather(building, *actors), 120)


async def check_versions(stand, storm):
    """Every finalized version is ready, whole, and counted once."""
    name = MODEL.replace("'", "")
    status, found = await storm.call("GET", f"{LEGACY}/model-versions/search?filter=name='{name}'&max_results=1000")
    assert status == 200
    states = {int(version["version"]): version["status"] for version in found["model_versions"]}
    assert len(states) == len(found["model_versions"])
    for version, seed in storm.promises.versions.items():
        assert states[version] == "READY"
        for path, content in version_files(seed).items():
            url = f"{stand.url}/api/2.0/fs/files/Models/{MODEL.replace('.', '/')}/{version}/{path}"
            async with stand.session.get(url) as answer:
                assert (answer.status, await answer.read()) == (200, content)


async def check_endpoints(storm):
    """Accepted endpoints and updates came to a good end."""
    for name in storm.promises.deployed:
        assert (await storm.settled(name))["state"] == {"ready": "READY", "config_update": "NOT_UPDATING"}
    config = (await storm.settled("steady"))["config"]
    accepted = dict(storm.promises.updates_accepted)
    assert len(accepted) == len(storm.promises.updates_accepted)  # no version was given twice
    last = max(accepted, default=1)
    assert last <= config["config_version"] <= last + storm.promises.updates_unknown
    if config["config_version"] in accepted:
        assert config["served_entities"][0]["max_provisioned_throughput"] == accepted[config["config_version"]]
    before = len(storm.promises.streams)
    await storm.stream("steady")
    assert storm.promises.streams[before].ended == "done"


def check_ledger(ledger, streams):
    """Every stream that was answered has one row that agrees with what its client saw; no row is invented."""
    answered = [seen.request_id for seen in streams if seen.request_id]
    assert len(set(answered)) == len(answered)
    assert len(set(ledger) - set(answered)) <= len(streams) - len(answered)
    for seen in streams:
        if seen.status == 200:
            outcome, prompt, completion = ledger[seen.request_id]
            assert outcome in {"completed", "failed", "cancelled"}
            if seen.ended == "done":
                assert outcome == "completed"
                assert (prompt, completion) == (seen.usage["prompt_tokens"], seen.usage["completion_tokens"])
            if seen.ended == "error":
                assert outcome == "failed"
        elif seen.request_id in ledger:
            assert ledger[seen.request_id][0] in {"rejected", "failed"}


def verified(stand):
    """What `penstock ledger verify` says; it must find nothing."""
    done = subprocess.run(
        [PENSTOCK, "ledger", "verify", "--data-dir", stand.data], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def check_minutes(stand):
    """Once its minutes are over, the ledger holds each request once in them. They are over an hour later."""
    verified(stand)
    journal = FileJournal(stand.data / "requests")
    assert journal.recover() == []
    store, later = SqlStore(f"sqlite:///{stand.data / 'penstock.db'}"), FakeClock(SystemClock().now_ms() + 3_600_000)
    await store.open()
    await LedgerKeeper(journal, store, LedgerMinutes(store, later, lambda: ())).step()
    await store.close()
    journal.close()
    told = verified(stand)
    assert "not closed yet" not in told
    with contextlib.closing(sqlite3.connect(stand.data / "penstock.db")) as database:
        (requests,) = database.execute("SELECT count(*) FROM requests").fetchone()
        counted = database.execute(
            "SELECT sum(requests), sum(completed + failed + cancelled + rejected), sum(completion_tokens) "
            "FROM ledger_minutes"
        ).fetchone()
        (tokens,) = database.execute("SELECT sum(completion_tokens) FROM requests").fetchone()
    assert counted == (requests, requests, tokens)
    assert f"{requests} requests checked" in told


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", SEEDS)
async def test_nothing_accepted_is_lost_or_doubled(stand, seed):
    storm = Storm(stand, seed)
    await stand.start()
    await run_storm(stand, storm, seed)
    await check_versions(stand, storm)
    await check_endpoints(storm)
    assert await stand.stop() == 0
    assert not stand.engines()
    check_ledger(stand.ledger(), storm.promises.streams)
    await check_minutes(stand)
    ends = [seen.ended for seen in storm.promises.streams]
    assert ends.count("done") > 0
    assert ends.count("hung") > 0
    assert storm.promises.versions
