"""What clients see of an endpoint, from its stored facts."""

from dataclasses import replace

from penstock.domain.endpoint import Config, Deployment, Endpoint, Outcome
from penstock.domain.model import Task
from penstock.domain.placement import Claim
from penstock.domain.profile import CostModel
from penstock.domain.replica import Replica, ReplicaState
from penstock.domain.served_entity import ServedEntity
from penstock.domain.status import Slots, entity_status, route
from penstock.domain.tenancy import Terms
from penstock.domain.throughput import divide
from penstock.domain.traffic import Route

ENTITY = ServedEntity("a-1", "main.default.a", "1", 10, 20)
PENDING = Config(1, (ENTITY,), (Route("a-1", 100),), Task.CHAT, "ann", 0)
ACTIVE = replace(PENDING, outcome=Outcome.ACTIVE)


def endpoint(active=None, latest=PENDING):
    return Endpoint("e" * 32, "one", "ann", 0, 0, "", False, (), active, latest)


def replica(state, message="", key="r1"):
    return Replica(key, ENTITY.spec, "main.default.a", "1", state, message, 0, "unix:/x", 1, 1.0, 0, 0, "cpu")


def status(one, config, *replicas, entity=ENTITY):
    found = entity_status(one, config, entity, replicas)
    return found.deployment, found.message


def test_a_pending_entity_says_what_it_does_and_what_went_wrong_before():
    assert status(endpoint(), PENDING) == (Deployment.CREATING, "Waiting to be started.")
    assert status(endpoint(), PENDING, replica(ReplicaState.LOADING)) == (Deployment.CREATING, "Loading the model.")
    broke, again = replica(ReplicaState.FAILED, "it broke", "r0"), replica(ReplicaState.MEASURING, "measuring: 40 %")
    assert status(endpoint(), PENDING, broke, again) == (
        Deployment.CREATING,
        "measuring: 40 % The last replica failed: it broke",
    )


def test_failed_and_cancelled_configurations_say_why():
    failed = replace(PENDING, outcome=Outcome.FAILED, message="no room")
    assert status(endpoint(latest=failed), failed) == (Deployment.FAILED, "no room")
    cancelled = replace(PENDING, outcome=Outcome.CANCELED, message="asked")
    assert status(endpoint(latest=cancelled), cancelled) == (Deployment.ABORTED, "asked")


def test_an_active_entity_recovers_and_is_ready():
    one = endpoint(ACTIVE, ACTIVE)
    assert status(one, ACTIVE, replica(ReplicaState.READY)) == (Deployment.READY, "")
    assert status(one, ACTIVE, replica(ReplicaState.FAILED, "it broke")) == (
        Deployment.RECOVERING,
        "A replica is about to be started. The last replica failed: it broke",
    )
    update = replace(PENDING, version=2, outcome=Outcome.FAILED, message="no room")
    assert status(endpoint(ACTIVE, update), ACTIVE, replica(ReplicaState.READY)) == (
        Deployment.READY,
        "The update to config version 2 failed: no room",
    )


def test_an_entity_scaled_to_zero_is_ready():
    small = replace(ENTITY, min_provisioned_throughput=0)
    active = replace(ACTIVE, entities=(small,))
    one = endpoint(active, active)
    assert status(one, active, replica(ReplicaState.STOPPED), entity=small) == (Deployment.READY, "Scaled to zero.")
    assert status(one, active, replica(ReplicaState.LOADING), entity=small) == (Deployment.READY, "Loading the model.")
    broken = status(one, active, replica(ReplicaState.FAILED, "x", "r0"), replica(ReplicaState.LOADING), entity=small)
    assert broken[0] is Deployment.RECOVERING


def test_a_route_has_ready_replicas_only():
    slots = {ENTITY.spec: Slots(4, 8)}
    replicas = [replica(ReplicaState.READY, key="r1"), replica(ReplicaState.DRAINING, key="r2")]
    found = route(endpoint(ACTIVE, ACTIVE), replicas, slots, [Claim(ENTITY.spec, "cpu", 0.5, 0)])
    [entity] = found.entities
    assert [one.id for one in entity.replicas] == ["r1"]
    assert (entity.replicas[0].max_running, entity.replicas[0].max_queue) == (4, 8)
    assert found.problem == ""


def test_a_route_to_nothing_says_why():
    assert "has no configuration yet" in route(endpoint(latest=None), (), {}, ()).problem
    assert "first deployment is in progress" in route(endpoint(), (), {}, ()).problem
    failed = replace(PENDING, outcome=Outcome.FAILED, message="no room")
    assert "failed: no room" in route(endpoint(latest=failed), (), {}, ()).problem


def test_what_is_sold_is_in_whole_chunks_and_bursts_where_that_was_asked():
    slots = Slots(8, 8, divide(3000), Terms(3000, 8, CostModel(0, 0.001, 0, 0.001, 0)))
    plain = slots.sale(ENTITY)
    assert (plain.minimum, plain.maximum) == (900, 900)
    assert abs(plain.share(plain.minimum) - 0.3) < 1e-9
    steady = slots.sale(replace(ENTITY, burst_scaling_enabled=False))
    assert steady.terms.burst == plain.terms.burst / 2
