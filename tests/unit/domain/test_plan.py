"""The plan against a world that crashes at random: it always converges, and every configuration ends once."""

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from penstock.domain.endpoint import Config, Endpoint, Outcome
from penstock.domain.model import Task
from penstock.domain.placement import Claim, Device, Offer, Reservation, needs, reservations
from penstock.domain.plan import End, Facts, Remove, Start, plan
from penstock.domain.replica import Replica, ReplicaState, check_step
from penstock.domain.served_entity import ServedEntity
from penstock.domain.steps import Build, Drain, Kill, Limits, Measure, Measuring, Move, Seen, Serve
from penstock.domain.throughput import divide
from penstock.domain.traffic import Route

GIB = 2**30
MEMORY = 16 * GIB
DEVICE = Device("cpu", "test", MEMORY)
DEVICES = (Device("cpu0", "test", MEMORY), Device("cpu1", "test", MEMORY))
LIMITS = Limits(deploy_timeout_s=600, scale_to_zero_idle_s=300, silence_s=60)
CHUNKS = divide(8000)


def entity(model, minimum):
    return ServedEntity(f"{model}-1", f"main.default.{model}", "1", minimum, 10_000)


def config(version, entities, now):
    routes = (Route(entities[0].name, 100), *(Route(one.name, 0) for one in entities[1:]))
    return Config(version, tuple(entities), routes, Task.CHAT, "ann", now)


class Lives(RuleBasedStateMachine):
    """One endpoint: wishes come and processes die at random; between them the plan is carried out, one at a time."""

    def __init__(self):
        super().__init__()
        self.now = 1_000_000
        self.endpoint = Endpoint("e" * 32, "one", "ann", self.now, self.now, "", False, (), None, None)
        self.configs = {}
        self.replicas = {}
        self.alive = {}
        self.measured = set()
        self.ends = []
        self.removed = False
        self.count = 0
        self.asked = set()
        self.idle = {}
        self.before = ()
        self.further = {}

    # What people do

    @precondition(lambda self: not self.endpoint.deleted and self.endpoint.pending is None)
    @rule(
        models=st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True),
        minimum=st.sampled_from([0, 50, 5000, 9000]),
    )
    def wish(self, models, minimum):
        version = (self.endpoint.latest.version if self.endpoint.latest else 0) + 1
        wanted = config(version, [entity(model, minimum) for model in models], self.now)
        self.endpoint = replace(self.endpoint, latest=wanted)

    @precondition(lambda self: self.endpoint.pending is not None and not self.endpoint.deleted)
    @rule()
    def cancel(self):
        self.endpoint = replace(self.endpoint, latest=replace(self.endpoint.latest, cancel_requested=True))

    @rule(sure=st.integers(0, 9))
    def delete(self, sure):
        if sure == 0:
            self.endpoint = replace(self.endpoint, deleted=True)

    @rule(model=st.sampled_from("abc"))
    def ask(self, model):
        self.asked.add(f"{model}-1")
        self.idle[f"{model}-1"] = 0

    @rule(model=st.sampled_from("abc"), devices=st.frozensets(st.sampled_from(["cpu0", "cpu1"])))
    def reach_out(self, model, devices):
        self.further = {entity(model, 0).spec: devices}

    @rule(model=st.sampled_from("abc"))
    def fall_idle(self, model):
        self.idle[f"{model}-1"] = 1000

    # What the world does

    @rule(data=st.data(), status=st.sampled_from([-9, -11, 1, 134]))
    def crash(self, data, status):
        running = sorted(key for key, exit_ in self.alive.items() if exit_ is None)
        if running:
            self.alive[data.draw(st.sampled_from(running))] = status

    @rule(seconds=st.sampled_from([1, 30, 700]))
    def wait(self, seconds):
        self.now += seconds * 1000

    @rule()
    def restart(self):
        for one in list(self.replicas.values()):
            if not one.ended:
                self.replicas[one.id] = replace(one, state=ReplicaState.STOPPED, changed_at=self.now)
        self.alive = {}
        self.before = ()

    @rule(cycles=st.integers(1, 4))
    def step(self, cycles):
        for _ in range(cycles):
            self.cycle()

    # Carrying a plan out

    def facts(self, *, finish):
        live = [one for one in self.replicas.values() if not one.ended]
        seen = []
        for one in live:
            status = self.alive.get(one.id, None if one.state is ReplicaState.REQUESTED else -1)
            if status is None and finish and one.state is ReplicaState.BUILDING:
                status = 0
            measuring = Measuring(0.5) if one.state is ReplicaState.MEASURING else None
            if measuring and finish:
                self.measured.add(one.spec)
            seen.append(Seen(one, status, "words", status is None, 0.0, measuring))
        failed = sorted(
            (one for one in self.replicas.values() if one.state is ReplicaState.FAILED),
            key=lambda one: -one.created_at,
        )
        offers = {
            spec: Offer(spec, GIB, CHUNKS, estimated=spec not in self.measured)
            for one in (self.endpoint.active, self.endpoint.pending)
            for spec in ([x.spec for x in one.entities] if one else [])
        }
        return Facts(
            self.endpoint, seen, failed, offers, DEVICES, (), frozenset(self.asked), dict(self.idle), self.now, LIMITS,
            self.before, self.further,
        )  # fmt: skip

    def cycle(self, *, finish=True):
        if self.removed:
            return ()
        made = plan(self.facts(finish=finish))
        self.before = made.claims
        self.check(made.claims)
        for action in made.actions:
            self.carry_out(action)
        self.now += 250
        return made.actions

    def check(self, claims):
        for one in reservations("one", claims):
            assert one.share <= 0.9 + 1e-9
            assert one.memory <= MEMORY

    def carry_out(self, action):
        match action:
            case Start():
                self.count += 1
                self.replicas[f"r{self.count}"] = Replica(
                    f"r{self.count}", "e", action.spec, action.entity_name, "1", ReplicaState.REQUESTED, "",
                    action.share, action.memory, "", 0, 0.0, self.now, self.now, action.device,
                )  # fmt: skip
            case Build():
                self.save(action.replica, ReplicaState.BUILDING)
                self.alive[action.replica.id] = None
            case Serve():
                self.save(action.replica, ReplicaState.LOADING)
                self.alive[action.replica.id] = None
            case Measure():
                self.save(action.replica, ReplicaState.MEASURING)
            case Move():
                self.save(action.replica, action.state, action.message)
            case Drain():
                self.save(action.replica, ReplicaState.DRAINING, action.message)
                self.alive[action.replica.id] = -15
            case Kill():
                self.save(action.replica, ReplicaState.FAILED, action.message)
                self.alive.pop(action.replica.id, None)
            case Remove():
                assert not [one for one in self.replicas.values() if not one.ended]
                self.removed = True
            case End():
                self.end(action)

    def save(self, replica, state, message=""):
        check_step(self.replicas[replica.id].state, state)
        self.replicas[replica.id] = replace(
            self.replicas[replica.id], state=state, message=message, changed_at=self.now
        )

    def end(self, action):
        latest = self.endpoint.latest
        assert latest.version == action.version
        assert latest.outcome is Outcome.PENDING
        self.ends.append(action.version)
        ended = replace(latest, outcome=action.outcome, message=action.message)
        assert action.message or action.outcome is Outcome.ACTIVE
        if action.outcome is Outcome.ACTIVE:
            ready = {one.spec for one in self.replicas.values() if one.state is ReplicaState.READY}
            assert ready.issuperset(one.spec for one in ended.entities)
            self.endpoint = replace(self.endpoint, active=ended)
        self.endpoint = replace(self.endpoint, latest=ended)

    # What always holds

    @invariant()
    def a_configuration_ends_at_most_once(self):
        assert len(self.ends) == len(set(self.ends))

    @invariant()
    def one_replica_serves_a_spec_on_a_device(self):
        serving = [
            (one.spec, one.device)
            for one in self.replicas.values()
            if not one.ended and one.state is not ReplicaState.DRAINING
        ]
        assert len(serving) == len(set(serving))

    def teardown(self):
        """Left alone, it comes to rest where it should, and then does nothing more."""
        for _ in range(2000):
            self.asked.clear()
            actions = self.cycle()
            if not actions and self.at_rest():
                break
            self.now += 0 if actions else 20_000
        else:
            raise AssertionError(f"never came to rest: {self.endpoint} {list(self.replicas.values())}")
        if self.endpoint.deleted:
            assert self.removed
        elif self.endpoint.latest:
            assert self.endpoint.latest.version in self.ends

    def at_rest(self):
        if self.removed:
            return True
        if self.endpoint.deleted or self.endpoint.pending:
            return False
        live = [one for one in self.replicas.values() if not one.ended]
        active = self.endpoint.active
        wanted = {one.spec for one in active.entities if not one.scales_to_zero} if active else set()
        ready = {one.spec for one in live if one.state is ReplicaState.READY}
        may = {one.spec for one in active.entities} if active else set()
        return all(one.state is ReplicaState.READY for one in live) and wanted <= ready <= may


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def simple(**changes):
    wanted = config(1, [entity("a", 50)], 1_000_000)
    endpoint = Endpoint("e" * 32, "one", "ann", 0, 0, "", False, (), None, wanted)
    facts = Facts(
        endpoint,
        (),
        (),
        {entity("a", 50).spec: Offer(entity("a", 50).spec, GIB, CHUNKS, estimated=False)},
        (DEVICE,),
        (),
        frozenset(),
        {},
        1_000_500,
        LIMITS,
    )
    return replace(facts, **changes)


def test_the_first_thing_is_a_replica_with_its_share_and_memory_claimed():
    made = plan(simple())
    [start] = made.actions
    assert start.memory == GIB
    assert made.claims == (Claim(start.spec, "cpu", CHUNKS.share(50), GIB),)
    assert start.device == "cpu"
    assert "requested" in made.sentence


def test_what_is_full_fails_the_configuration_and_claims_nothing():
    made = plan(simple(others=[Reservation("two", 0.9, 0, "cpu")]))
    [end] = made.actions
    assert end.outcome is Outcome.FAILED
    assert "two (90.0%" in end.message
    assert made.claims == ()


def test_a_spec_in_both_configurations_is_claimed_once_at_the_larger():
    endpoint = simple().endpoint
    active = replace(endpoint.latest, outcome=Outcome.ACTIVE)
    pending = config(2, [entity("a", 4000)], 0)
    both = replace(endpoint, active=active, latest=pending)
    [need] = needs(both, simple().offers)
    assert need.share == CHUNKS.share(4000)


def test_without_room_a_sleeping_entity_is_not_woken_and_says_why():
    asleep = entity("a", 0)
    active = replace(config(1, [asleep], 0), outcome=Outcome.ACTIVE)
    endpoint = replace(simple().endpoint, active=active, latest=active)
    facts = simple(endpoint=endpoint, asked=frozenset({"a-1"}), others=[Reservation("two", 0.1, 16 * GIB, "cpu")])
    made = plan(facts)
    assert made.actions == ()
    assert "1,024 MiB of memory is needed and 0 is free" in made.blocked
    assert made.stuck == {asleep.spec: "no device has the memory and the time for it"}
