"""The plan against a world that crashes at random: it always converges, and every configuration ends once."""

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from penstock.domain.adapting import Load, Unload, adapters, stepped_room, wanted_by
from penstock.domain.endpoint import Config, Endpoint, Outcome
from penstock.domain.model import Task
from penstock.domain.placement import (
    Claim,
    Device,
    Offer,
    Reservation,
    left,
    needs,
    places,
    reservations,
    specs,
)
from penstock.domain.plan import End, Facts, Remove, Start, plan
from penstock.domain.replica import Replica, ReplicaState, check_step
from penstock.domain.served_entity import ServedEntity
from penstock.domain.steps import Adapted, Build, Drain, Kill, Limits, Measure, Measuring, Move, Seen, Serve
from penstock.domain.throughput import divide
from penstock.domain.traffic import Route

GIB = 2**30
MEMORY = 16 * GIB
DEVICE = Device("cpu", "test", MEMORY)
DEVICES = (Device("cpu0", "test", MEMORY), Device("cpu1", "test", MEMORY))
LIMITS = Limits(deploy_timeout_s=600, scale_to_zero_idle_s=300, silence_s=60)
CHUNKS = divide(8000)


def entity(model, minimum):
    """Models x and y are adapters of a."""
    base = ("main.default.a", "1") if model in "xy" else None
    return ServedEntity(f"{model}-1", f"main.default.{model}", "1", minimum, 10_000, base=base)


def config(version, entities, now):
    routes = (Route(entities[0].name, 100), *(Route(one.name, 0) for one in entities[1:]))
    return Config(version, tuple(entities), routes, Task.CHAT, "ann", now)


class Party:
    """One endpoint, and what is remembered of it between its plans."""

    def __init__(self, name, now):
        self.endpoint = Endpoint(name, name, "ann", now, now, "", False, (), None, None)
        self.ends = []
        self.removed = False
        self.asked = set()
        self.idle = {}
        self.before = ()
        self.further = {}

    @property
    def configs(self):
        return [one for one in (self.endpoint.active, self.endpoint.pending) if one and not self.endpoint.deleted]

    @property
    def specs(self):
        return {one.spec for config in self.configs for one in config.entities} | {one.spec for one in self.before}


WHO = st.sampled_from(["one", "two"])


class Lives(RuleBasedStateMachine):
    """Two endpoints that may want the same: wishes come and processes die at random; plans are carried out in turn."""

    def __init__(self):
        super().__init__()
        self.now = 1_000_000
        self.parties = {name: Party(name, self.now) for name in ("one", "two")}
        self.replicas = {}
        self.alive = {}
        self.measured = set()
        self.adapted = {}
        self.count = 0

    # What people do

    @rule(
        who=WHO,
        models=st.lists(st.sampled_from("abcxy"), min_size=1, max_size=3, unique=True),
        minimum=st.sampled_from([0, 50, 5000, 9000]),
    )
    def wish(self, who, models, minimum):
        party = self.parties[who]
        if party.endpoint.deleted or party.endpoint.pending is not None:
            return
        version = (party.endpoint.latest.version if party.endpoint.latest else 0) + 1
        wanted = config(version, [entity(model, minimum) for model in models], self.now)
        party.endpoint = replace(party.endpoint, latest=wanted)

    @rule(who=WHO)
    def cancel(self, who):
        party = self.parties[who]
        if party.endpoint.pending is not None:
            party.endpoint = replace(party.endpoint, latest=replace(party.endpoint.latest, cancel_requested=True))

    @rule(who=WHO, sure=st.integers(0, 9))
    def delete(self, who, sure):
        if sure == 0:
            self.parties[who].endpoint = replace(self.parties[who].endpoint, deleted=True)

    @rule(who=WHO, model=st.sampled_from("abcxy"))
    def ask(self, who, model):
        self.parties[who].asked.add(f"{model}-1")
        self.parties[who].idle[f"{model}-1"] = 0

    @rule(who=WHO, model=st.sampled_from("abc"), devices=st.frozensets(st.sampled_from(["cpu0", "cpu1"])))
    def reach_out(self, who, model, devices):
        self.parties[who].further = {entity(model, 0).spec: devices}

    @rule(who=WHO, model=st.sampled_from("abcxy"))
    def fall_idle(self, who, model):
        self.parties[who].idle[f"{model}-1"] = 1000

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
        for party in self.parties.values():
            party.before = tuple(one for one in party.before if one.place)

    @rule(who=WHO, cycles=st.integers(1, 4))
    def step(self, who, cycles):
        for _ in range(cycles):
            self.cycle(self.parties[who])

    # Carrying a plan out

    def facts(self, party):
        mine = [one for one in self.replicas.values() if one.spec in party.specs]
        live = [one for one in mine if not one.ended]
        seen = []
        for one in live:
            status = self.alive.get(one.id, None if one.state is ReplicaState.REQUESTED else -1)
            if status is None and one.state is ReplicaState.BUILDING:
                status = 0
            measuring = Measuring(0.5) if one.state is ReplicaState.MEASURING else None
            if measuring:
                self.measured.add(one.spec)
            adapted = self.adapted.get(one.id, Adapted())
            seen.append(Seen(one, status, "words", status is None, 0.0, measuring, adapted=adapted))
        failed = sorted((one for one in mine if one.state is ReplicaState.FAILED), key=lambda one: -one.created_at)
        offers = {
            one.spec: Offer(one.spec, GIB, CHUNKS, estimated=one.spec not in self.measured)
            for config in party.configs
            for one in config.entities
        }
        others = [one for one in self.parties.values() if one is not party]
        return Facts(
            endpoint=party.endpoint,
            seen=seen,
            failed=failed,
            offers=offers,
            devices=DEVICES,
            others=[held for one in others for held in reservations(one.endpoint.name, one.before)],
            asked=frozenset(party.asked),
            idle_s=dict(party.idle),
            now_ms=self.now,
            limits=LIMITS,
            before=party.before,
            further=party.further,
            shared=frozenset().union(*(places(one.before) for one in others)),
            rolling=frozenset(spec for one in others for spec in specs(one.endpoint.pending)),
            adapters=self.wanted(),
            rooms={spec: stepped_room([20] * len(names)) for spec, names in self.wanted().items()},
        )

    def wanted(self):
        pairs = [pair for one in self.parties.values() for pair in wanted_by(one.endpoint).items()]
        return {spec: frozenset().union(*(names for other, names in pairs if other == spec)) for spec, _ in pairs}

    def cycle(self, party):
        if party.removed:
            return ()
        made = plan(self.facts(party))
        party.before = made.claims
        self.check()
        for action in made.actions:
            self.check_right(party, action)
            self.carry_out(party, action)
        self.now += 250
        return made.actions

    def check(self):
        held = [held for one in self.parties.values() for held in reservations(one.endpoint.name, one.before)]
        for device in DEVICES:
            share, memory = left(device, held)
            assert share + sum(one.wish for one in held if one.device == device.name) >= -1e-9
            assert memory >= 0

    def check_right(self, party, action):
        """Nobody touches what only others want, and nobody ends what others want too."""
        others = [one for one in self.parties.values() if one is not party]
        if isinstance(action, Build | Serve | Measure | Move | Drain | Kill):
            where = (action.replica.spec, action.replica.device)
            assert action.replica.spec in party.specs
            if isinstance(action, Drain) and action.replica.state is not ReplicaState.DRAINING:
                heirs = [one for one in self.serving(where) if one.created_at > action.replica.created_at]
                assert heirs or not any(where in places(one.before) for one in others)

    def serving(self, where):
        live = [one for one in self.replicas.values() if not one.ended and one.state is not ReplicaState.DRAINING]
        return [one for one in live if (one.spec, one.device) == where]

    def carry_out(self, party, action):  # noqa: C901 - a case for each action
        match action:
            case Start():
                self.count += 1
                self.replicas[f"r{self.count}"] = Replica(
                    f"r{self.count}", action.spec, action.entity_name, "1", ReplicaState.REQUESTED, "",
                    action.memory, "", 0, 0.0, self.now, self.now, action.device,
                )  # fmt: skip
            case Build():
                self.save(action.replica, ReplicaState.BUILDING)
                self.alive[action.replica.id] = None
            case Load() | Unload():
                before = self.adapted[action.replica.id]
                changed = before.loaded ^ {action.adapter}
                assert (action.adapter in changed) is isinstance(action, Load)
                self.adapted[action.replica.id] = replace(before, loaded=changed)
            case Serve():
                self.adapted[action.replica.id] = Adapted(room=action.room)
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
                self.save(action.replica, ReplicaState.FAILED, action.message, fatal=action.fatal)
                self.alive.pop(action.replica.id, None)
            case Remove():
                party.removed = True
            case End():
                self.end(party, action)

    def save(self, replica, state, message="", *, fatal=False):
        check_step(self.replicas[replica.id].state, state)
        self.replicas[replica.id] = replace(
            self.replicas[replica.id], state=state, message=message, changed_at=self.now, fatal=fatal
        )

    def end(self, party, action):
        latest = party.endpoint.latest
        assert latest.version == action.version
        assert latest.outcome is Outcome.PENDING
        party.ends.append(action.version)
        ended = replace(latest, outcome=action.outcome, message=action.message)
        assert action.message or action.outcome is Outcome.ACTIVE
        if action.outcome is Outcome.ACTIVE:
            ready = {(one.spec, one.device) for one in self.replicas.values() if one.state is ReplicaState.READY}
            assert {spec for spec, _ in ready & places(party.before)} >= set(specs(ended))
            self.check_adapters(party, adapters(ended))
            party.endpoint = replace(party.endpoint, active=ended)
        party.endpoint = replace(party.endpoint, latest=ended)

    # What always holds

    @invariant()
    def a_configuration_ends_at_most_once(self):
        for party in self.parties.values():
            assert len(party.ends) == len(set(party.ends))

    def check_adapters(self, party, wanted):
        """Some replica that serves the party has all adapters of its spec."""
        for spec, names in wanted.items():
            there = [one for where in places(party.before) if where[0] == spec for one in self.serving(where)]
            assert any(one.state is ReplicaState.READY and names <= self.adapted[one.id].loaded for one in there)

    @invariant()
    def one_replica_serves_a_spec_on_a_device_unless_it_makes_way_for_one_with_room(self):
        live = [one for one in self.replicas.values() if not one.ended and one.state is not ReplicaState.DRAINING]
        for where in {(one.spec, one.device) for one in live}:
            *older, _ = self.serving(where)
            assert len(older) <= 1
            assert all(self.adapted[one.id].room < 128 for one in older)

    def teardown(self):
        """Left alone, it comes to rest where it should, and then does nothing more."""
        parties = self.parties.values()
        for _ in range(2000):
            for party in parties:
                party.asked.clear()
            actions = [action for party in parties for action in self.cycle(party)]
            if not actions and all(self.at_rest(party) for party in parties):
                break
            self.now += 0 if actions else 20_000
        else:
            raise AssertionError(f"never came to rest: {[vars(one) for one in parties]} {self.replicas}")
        for party in parties:
            if party.endpoint.deleted:
                assert party.removed
            elif party.endpoint.latest:
                assert party.endpoint.latest.version in party.ends
        claimed = frozenset().union(*(places(one.before) for one in parties))
        live = [one for one in self.replicas.values() if not one.ended]
        assert sorted((one.spec, one.device) for one in live) == sorted(claimed)
        assert all(one.state is ReplicaState.READY for one in live)
        for party in (one for one in parties if not one.endpoint.deleted):
            mine, active = {spec for spec, _ in places(party.before)}, party.endpoint.active
            self.check_adapters(party, {key: names for key, names in adapters(active).items() if key in mine})
        for one in live:
            assert self.adapted[one.id].loaded <= self.wanted().get(one.spec, frozenset())

    def at_rest(self, party):
        if party.removed:
            return True
        if party.endpoint.deleted or party.endpoint.pending:
            return False
        active = party.endpoint.active
        wanted = {one.spec for one in active.entities if not one.scales_to_zero} if active else set()
        ready = {(one.spec, one.device) for one in self.replicas.values() if one.state is ReplicaState.READY}
        served, may = {spec for spec, _ in ready & places(party.before)}, set(specs(active))
        return places(party.before) <= ready and wanted <= served <= may


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
