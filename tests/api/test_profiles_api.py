"""Measuring a version on demand: who may, what it answers meanwhile, and what `penstock profile` makes of it."""

import pytest
from endpoint_loops import running

from penstock.cli.profile import draw, in_characters
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
    async with running(world):
        yield


async def test_a_version_that_nobody_serves_is_measured_with_an_engine_of_its_own(admin, clock, world, loops):
    assert (await admin.get(PATH)).json() == {"progress": None, "doing": "", "failure": "", "profile": None}
    assert (await admin.get(f"{ROOT}/profiles/{GUIDE}/9")).status_code == 404
    started = (await admin.post(PATH, json={"precision": "bf16"})).json()
    assert (started["progress"], started["doing"]) == (0.0, "starting")
    await clock.advance(1)
    assert (await admin.get(PATH)).json()["progress"] is None  # another precision
    assert "building" in (await admin.get(f"{PATH}?precision=bf16")).json()["doing"]
    await clock.advance(8)
    assert (await admin.get(f"{PATH}?precision=bf16")).json()["doing"] == "measuring"
    assert len(world.cluster.running()) == 1
    await clock.advance(60)
    found = (await admin.get(f"{PATH}?precision=BF16")).json()
    assert (found["progress"], found["failure"], found["profile"]["precision"]) == (None, "", "bf16")
    assert found["profile"]["startup_s"] == pytest.approx(2.0)
    assert world.cluster.running() == []
    assert (await admin.get(PATH)).json()["profile"] is None


async def test_without_memory_for_an_engine_it_is_said_who_has_it(admin, world, loops):
    world.cluster.memory_of_device = 2**29
    answer = await admin.post(PATH, json={})
    assert answer.status_code == 409
    assert answer.json()["message"] == (
        f"Insufficient capacity on cpu for measuring {GUIDE}/1: 1,024 MiB of memory is needed and 512 is free."
        " Held by: nobody."
    )


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
    shown = in_characters(now["profile"])
    assert all(one in shown for one in (f"knee {now['profile']['knee']}", "chunk", "at worst"))


@pytest.mark.parametrize(
    ("field", "value"), [("budget_s", 0), ("budget_s", 10**6), ("wait_s", -1), ("wait_s", 10**6), ("precision", "fp8")]
)
async def test_what_is_out_of_range_is_refused(admin, loops, field, value):
    answer = await admin.post(PATH, json={field: value})
    assert answer.status_code == 400
    assert field in answer.json()["message"]
