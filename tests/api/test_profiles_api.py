"""Measuring a version on demand: who may, what it answers meanwhile, and what `penstock profile` makes of it."""

import asyncio

import pytest

from penstock.cli.profile import draw
from penstock.testing.serving import add_model

GUIDE = "main.default.guide"
ROOT = "/api/2.0/serving-endpoints"
ENTITY = {
    "entity_name": GUIDE,
    "entity_version": "1",
    "min_provisioned_throughput": 0,
    "max_provisioned_throughput": 100,
}
PATH = f"{ROOT}/profiles/{GUIDE}/1"


@pytest.fixture
async def loops(world, store):
    await add_model(store)
    tasks = [asyncio.create_task(world.reconciler.run()), asyncio.create_task(world.measuring.run())]
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_version_that_nobody_serves_is_not_measured(admin, loops):
    answer = await admin.post(PATH, json={})
    assert answer.status_code == 409
    assert "deploy an endpoint" in answer.json()["message"]
    assert (await admin.get(PATH)).json() == {"progress": None, "failure": "", "profile": None}
    assert (await admin.get(f"{ROOT}/profiles/{GUIDE}/9")).status_code == 404


async def test_a_version_is_measured_again_when_asked(admin, clock, loops, tmp_path):
    await admin.post(ROOT, json={"name": "one", "config": {"served_entities": [ENTITY]}})
    await clock.advance(120)
    first = (await admin.get(PATH)).json()["profile"]
    started = (await admin.post(PATH, json={"budget_s": 5})).json()
    assert started["progress"] == 0.0
    await clock.advance(60)
    now = (await admin.get(PATH + "/")).json()
    assert now["progress"] is None
    assert now["profile"]["measured_at"] > first["measured_at"]
    assert now["profile"]["held_out_worst"] >= now["profile"]["held_out_mean"] >= 0
    draw(now["profile"], GUIDE, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 1000


async def test_a_budget_out_of_range_is_refused(admin, loops):
    for budget in (0, -1, 10**6):
        answer = await admin.post(PATH, json={"budget_s": budget})
        assert answer.status_code == 400
        assert "budget_s" in answer.json()["message"]
