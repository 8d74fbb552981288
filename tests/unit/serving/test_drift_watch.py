"""Production that takes more of the device than was measured: who is told, and what is marked."""

from dataclasses import replace

import pytest
from serving_wishes import ANN, GUIDE, create, running, settled

from penstock.domain.names import ModelName
from penstock.domain.scaling import Kind
from penstock.domain.scaling_room import Part
from penstock.domain.usage import RequestOutcome, RequestRecord, Usage
from penstock.ports.capacity import Reading
from penstock.testing.serving import World
from penstock.web.databricks.endpoint_throughput import exposition


@pytest.fixture
async def served(world: World):
    """An endpoint that serves a measured version, with the profile and the replica."""
    async with running(world):
        view = await create(world)
        await settled(world)
        async with world.store.unit() as unit:
            (replica,) = await unit.replicas.live()
            (profile,) = await unit.profiles.of(f"{GUIDE}/1")
        world.capacity.set(
            Reading(
                endpoint_id=view.endpoint.id, entity="guide-1", arrived=0.0, attained=0.0, backlog=0.0, waiting=0,
                in_flight=0, allotment=100.0, minimum=100.0, maximum=900.0, throughput=profile.throughput,
                chunk=100.0, predicted_wait_s=0.0, parts=(Part("cpu", 100.0, 100.0),),
            )
        )  # fmt: skip
        yield replica, profile


def requests(world, replica, profile, factor):
    """Reference requests that end now, as many as at the knee; they took `factor` of what they should."""
    seconds = profile.knee * profile.cost.seconds(2048, 256) * factor
    began = world.clock.now_ms() - round(seconds * 1000)
    return [
        RequestRecord(
            f"r{began}-{number}", "e", "one", "guide-1", replica.id, "ann", "llm/v1/chat", False, began,
            RequestOutcome.COMPLETED, 200, Usage(2048, 256), 0.0, 5.0, seconds * 1000,
            device_s=profile.cost.seconds(2048, 256),
        )
        for number in range(profile.knee)
    ]  # fmt: skip


async def produce(world, replica, profile, factor, minutes=15):
    end = world.clock.monotonic() + 60 * minutes
    while world.clock.monotonic() < end:
        await world.clock.advance(profile.knee * profile.cost.seconds(2048, 256) * factor)
        world.drift.hear(requests(world, replica, profile, factor))
        await world.drift.step()


async def stored(world, profile):
    async with world.store.unit() as unit:
        return await unit.profiles.get(profile.fingerprint)


async def test_what_was_measured_holds(world, served):
    replica, profile = served
    await produce(world, replica, profile, 1.05)
    drift = world.drift.of(profile)
    assert drift.slices >= 10
    assert drift.error == pytest.approx(0.05, abs=0.03)
    assert (await stored(world, profile)).stale == ""
    (one,) = (await world.throughput.of(ANN, "one")).entities
    assert one.drift == drift
    assert "penstock_profile_stale{" in exposition(await world.throughput.of(ANN, "one"))


async def test_a_profile_that_drifted_is_marked_once_and_told(world, served):
    replica, profile = served
    await produce(world, replica, profile, 1.4)
    stale = (await stored(world, profile)).stale
    assert stale.startswith("Requests take 40%")
    assert " more of the device than was measured" in stale
    told = await world.throughput.of(ANN, "one")
    (decision,) = [one for one in told.decisions if one.kind is Kind.DRIFTED]
    assert decision.reason.startswith(stale)
    assert decision.old == decision.new == 100.0
    metrics = exposition(told)
    assert 'penstock_profile_stale{endpoint_name="one",served_entity_name="guide-1"} 1.0' in metrics
    assert 'penstock_profile_drift_ratio{endpoint_name="one",served_entity_name="guide-1"} 0.' in metrics
    info = await world.optimization.info(ANN, ModelName.parse(GUIDE), 1)
    assert info.profile.stale == stale


async def test_a_new_measurement_begins_anew(world, served):
    replica, profile = served
    await produce(world, replica, profile, 1.4)
    await world.clock.advance(1)
    async with world.store.unit() as unit:
        fresh = replace(profile, measured_at=world.clock.now_ms())
        await unit.profiles.put(fresh)
    await produce(world, replica, fresh, 1.0)
    assert (await stored(world, profile)).stale == ""
    assert world.drift.of(profile) is None
    assert world.drift.of(fresh).error == pytest.approx(0.0, abs=0.03)


async def test_requests_of_replicas_that_nobody_knows_say_nothing(world, served):
    _, profile = served
    record = requests(world, served[0], profile, 2.0)[0]
    world.drift.hear([replace(record, replica_id=""), replace(record, replica_id="gone")])
    assert await world.drift.step() == ""
    assert world.drift.of(profile) is None
