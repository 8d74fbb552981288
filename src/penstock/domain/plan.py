"""What to do next for one endpoint: facts in, actions and a sentence out. Pure and level-triggered.

A plan is made from what is true now, whatever happened before, so a lost hint, a crash between two actions or a
restarted server need no code of their own. A configuration that is pending is rolled out by the same rules that keep
an active one running: wanted specs without a replica get one, replicas that nothing wants end.

A replica runs for every endpoint that claims its place: any of them may take the next step with it, and the last one
that wants it ends it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from penstock.domain.adapting import (
    Load,
    Rooms,
    Unload,
    Wanted,
    adapters,
    changes,
    has_all,
    lacks_room,
    refused,
    wanted_by,
)
from penstock.domain.endpoint import Config, Endpoint, Outcome
from penstock.domain.packing import Placement, place
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
    standing,
)
from penstock.domain.replica import Replica, ReplicaState
from penstock.domain.served_entity import ServedEntity
from penstock.domain.steps import Action, Drain, Kill, Limits, Seen, Step, step

ATTEMPTS = 3
"""So many replicas may end by themselves before the configuration that wants them fails."""
FIRST_BACK_OFF_MS = 1_000
LAST_BACK_OFF_MS = 60_000
LIVED_LONG_MS = 600_000
"""A replica that lived so long begins the back-off anew when it crashes."""
FORGOTTEN_MS = 3_600_000
"""Crashes longer ago than this delay nothing."""


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a plan is made from.

    `seen` are the replicas of the endpoint's specs that have not ended, oldest first, and `failed` those that failed,
    newest first. `offers` is by spec, `others` what other endpoints hold, `shared` the places that they claim, and
    `rolling` the specs of their pending configurations. `before` is what this one claimed last. `asked` names served
    entities with waiting requests, and `idle_s` tells for served entities the seconds since their last request.
    `further` are devices, by spec, on which a replica is wanted beyond what the minimum takes. `adapters` are those
    that are wanted by anybody, and `rooms` what engines have for them. `refusal` says why the pending configuration
    cannot have its own.
    """

    endpoint: Endpoint
    seen: Sequence[Seen]
    failed: Sequence[Replica]
    offers: Mapping[str, Offer]
    devices: Sequence[Device]
    others: Sequence[Reservation]
    asked: frozenset[str]
    idle_s: Mapping[str, float]
    now_ms: int
    limits: Limits
    before: Sequence[Claim] = ()
    further: Mapping[str, frozenset[str]] = field(default_factory=dict)
    shared: frozenset[tuple[str, str]] = frozenset()
    rolling: frozenset[str] = frozenset()
    adapters: Wanted = field(default_factory=dict)
    rooms: Rooms = field(default_factory=dict)
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Start:
    """Add a replica of the spec, on the device of that name."""

    spec: str
    entity_name: str
    entity_version: str
    memory: int
    device: str


@dataclass(frozen=True, slots=True)
class End:
    """End the pending configuration; ACTIVE makes it the one that serves."""

    version: int
    outcome: Outcome
    message: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove the endpoint: it was deleted, and nothing runs any more that is not others' too."""


Act = Action | Start | End | Remove | Load | Unload
"""What may be done for an endpoint."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Actions in the order to take them, a sentence that says why, and what the endpoint holds from now on.

    Without a sentence nothing of note is done; `blocked` then may say what keeps a wanted replica from being started.
    `stuck` says by spec, in words for callers, why none can be started at all.
    """

    actions: tuple[Act, ...]
    sentence: str
    claims: tuple[Claim, ...]
    blocked: str = ""
    stuck: Mapping[str, str] = field(default_factory=dict)


def plan(facts: Facts) -> Plan:
    """The next actions for an endpoint."""
    if facts.endpoint.deleted:
        return _removal(facts)
    # With what only others want nothing is done.
    mine = [one for one in facts.seen if one.replica.spec in facts.offers or one.place not in facts.shared]
    steps = [_step(facts, one) for one in mine]
    placed = _placed(facts)
    end = _end(facts, steps, placed)
    if end is not None:
        return _ending(facts, steps, end)
    wanted = placed.places | facts.shared
    # Of what nothing can be said any more (its version was deleted), what runs goes on.
    unknown = {spec for spec in _wanted(facts) if spec not in facts.offers or facts.offers[spec].problem}
    steps = [
        one if one.place in wanted or one.seen.replica.spec in unknown else _leave(one, "no longer needed")
        for one in steps
    ]
    steps = _renewed(facts, steps, placed)
    starts, blocked = _starts(facts, steps, placed)
    adapting = _adapting(facts, steps, placed)
    actions = (*(one.action for one in steps if one.action is not None), *starts, *adapting)
    sentences = [one.sentence for one in steps if one.sentence]
    sentences += [f"replica of {start.entity_name}/{start.entity_version} requested" for start in starts]
    return Plan(actions, "; ".join(sentences), placed.claims, blocked, _stuck(facts, placed))


def _step(facts: Facts, one: Seen) -> Step:
    spec = one.replica.spec
    room, measure = facts.rooms.get(spec, 0), _is_unmeasured(facts, spec)
    return step(one, facts.now_ms, facts.limits, measure=measure, room=room)


def _adapting(facts: Facts, steps: Sequence[Step], placed: Placement) -> list[Load | Unload]:
    """Adapters to load where this endpoint is served, and to drop wherever nobody wants them."""
    wanted = wanted_by(facts.endpoint).items()
    mine: Wanted = {spec: names & facts.adapters.get(spec, frozenset()) for spec, names in wanted}
    return [
        what
        for one in steps
        for what in changes(one, mine if one.place in placed.places else {}, facts.adapters, facts.rooms)
    ]


def _renewed(facts: Facts, steps: Sequence[Step], placed: Placement) -> list[Step]:
    """With those leaving that serve where a younger one does, or is to."""
    whys = [_obsolete(facts, one, steps[at + 1 :], placed) for at, one in enumerate(steps)]
    return [_leave(one, why) if why else one for one, why in zip(steps, whys, strict=True)]


def _obsolete(facts: Facts, one: Step, younger: Sequence[Step], placed: Placement) -> str:
    """Why a replica is to leave although its place is wanted, empty if it is not."""
    if not one.ready:
        return ""
    heirs = [other for other in younger if other.place == one.place and other.stays]
    if any(heir.ready and heir.seen.adapted.room >= one.seen.adapted.room for heir in heirs):
        return "another one serves in its place"
    claim = next((claim for claim in placed.claims if claim.place and (claim.spec, claim.device) == one.place), None)
    if heirs or claim is None or not lacks_room(one, facts.rooms):
        return ""
    crowded = _no_room(facts, placed, claim, facts.offers[claim.spec])
    return "its memory is needed for one with room for adapters" if crowded else ""


def _removal(facts: Facts) -> Plan:
    mine = [seen for seen in facts.seen if seen.place not in facts.shared]
    if not mine:
        return Plan((Remove(),), "deleted, and no replica runs for it alone", ())
    steps = [_leave(step(seen, facts.now_ms, facts.limits, measure=False), "the endpoint was deleted") for seen in mine]
    actions = tuple(one.action for one in steps if one.action is not None)
    return Plan(actions, "; ".join(one.sentence for one in steps if one.sentence), _placed(facts).claims)


def _leave(one: Step, why: str) -> Step:
    """The step of a replica that nothing wants: it drains, unless it does so or has failed already."""
    if one.seen.replica.state is ReplicaState.DRAINING or isinstance(one.action, Kill):
        return one
    return Step(one.seen, Drain(one.seen.replica, why), f"{one.seen.name} is being stopped: {why}")


def _ending(facts: Facts, steps: Sequence[Step], end: End) -> Plan:
    """The end of the pending configuration, and failures seen in the same moment; all else follows in the next plan."""
    failures = [one for one in steps if isinstance(one.action, Kill)]
    endpoint = facts.endpoint
    assert endpoint.latest is not None
    if end.outcome is not Outcome.ACTIVE:
        endpoint = replace(endpoint, latest=replace(endpoint.latest, outcome=end.outcome))
    sentence = f"config version {end.version} is {end.outcome.value}" + (f": {end.message}" if end.message else "")
    actions = (*(one.action for one in failures if one.action), end)
    held = _placed(replace(facts, endpoint=endpoint)).claims
    return Plan(actions, "; ".join([*(one.sentence for one in failures), sentence]), held)


def _is_unmeasured(facts: Facts, spec: str) -> bool:
    """Whether a replica must be measured before it serves: always for a new configuration, never in a recovery."""
    offer = facts.offers.get(spec)
    return offer is not None and offer.estimated and spec in facts.rolling.union(specs(facts.endpoint.pending))


def _placed(facts: Facts) -> Placement:
    """Where the replicas of everything that is wanted belong."""
    asked = needs(facts.endpoint, facts.offers, _wanted(facts), facts.further)
    live = [seen.replica for seen in facts.seen]
    return place(facts.endpoint.name, asked, facts.devices, facts.others, live=live, before=facts.before)


def _end(facts: Facts, steps: Sequence[Step], placed: Placement) -> End | None:
    """How the pending configuration ends, if it does now."""
    pending = facts.endpoint.pending
    if pending is None:
        return None
    if pending.cancel_requested:
        return End(pending.version, Outcome.CANCELED, "The update was cancelled on request.")
    reason = _reason_to_fail(facts, pending, steps, placed)
    if reason:
        return End(pending.version, Outcome.FAILED, reason)
    mine = adapters(pending)
    there = {one.place for one in steps if one.ready and has_all(one, mine)} & placed.places
    must = [(one.spec, one.device) for one in placed.claims if one.place and not one.soft]
    lacking = {spec for spec, device in must if (spec, device) not in there}
    ready = {spec for spec, _ in there} - lacking
    if ready.issuperset(specs(pending)):
        return End(pending.version, Outcome.ACTIVE, "")
    waited_s = (facts.now_ms - pending.started_at) / 1000
    if waited_s > facts.limits.deploy_timeout_s:
        late = ", ".join(entity.name for entity in pending.entities if entity.spec not in ready)
        limit = f"{facts.limits.deploy_timeout_s:.0f} s"
        return End(pending.version, Outcome.FAILED, f"The deployment timed out: {late} was not ready within {limit}.")
    return None


def _reason_to_fail(facts: Facts, pending: Config, steps: Sequence[Step], placed: Placement) -> str:
    """Why the pending configuration cannot become active, empty if nothing speaks against it."""
    problems = [facts.offers[spec].problem for spec in specs(pending) if spec in facts.offers]
    missing = [placed.missing[spec] for spec in specs(pending) if spec in placed.missing]
    if why := next(filter(None, (*problems, facts.refusal, *missing)), ""):
        return why
    wished = adapters(pending)
    refusals = [refused(one, wished) for one in steps if one.place in placed.places]
    if why := next(filter(None, refusals), ""):
        return why
    # Newest first; also those that began for another endpoint, before this configuration wanted them.
    kills = [one.action for one in steps if isinstance(one.action, Kill)]
    failures = [(kill.replica, kill.message, kill.fatal) for kill in kills]
    failures += [(one, one.message, one.fatal) for one in facts.failed if one.changed_at >= pending.started_at]
    for spec in specs(pending):
        fatal = [message for one, message, fatal in failures if one.spec == spec and fatal]
        if fatal:
            return fatal[0]
        mine = [message for one, message, _ in failures if one.spec == spec and (spec, one.device) in placed.places]
        if len(mine) >= ATTEMPTS:
            return f"{ATTEMPTS} replicas failed, the last one so: {mine[0]}"
    return ""


def _wanted(facts: Facts) -> frozenset[str]:
    """The specs that must run, or be started."""
    active, had = facts.endpoint.active, places(facts.before)
    wanted = set(specs(facts.endpoint.pending)) | standing(active)
    for spec in set(specs(active)) - wanted:
        names = [entity.name for entity in active.entities if entity.spec == spec] if active else []
        mine = [seen for seen in facts.seen if seen.replica.spec == spec and seen.place in had]
        starting = any(seen.replica.state not in {ReplicaState.READY, ReplicaState.DRAINING} for seen in mine)
        serving = any(seen.replica.state is ReplicaState.READY for seen in mine)
        idle_s = min((facts.idle_s.get(name, 0.0) for name in names), default=0.0)
        if starting or facts.asked.intersection(names) or (serving and idle_s <= facts.limits.scale_to_zero_idle_s):
            wanted.add(spec)
    return frozenset(wanted)


def _starts(facts: Facts, steps: Sequence[Step], placed: Placement) -> tuple[list[Start], str]:
    """Replicas to add where one belongs and none is, and what keeps others from being added."""
    entities = {entity.spec: entity for entity in reversed(_entities(facts.endpoint))}
    there = {one.place for one in steps if one.stays and not lacks_room(one, facts.rooms)}
    starts, blocked = [], []
    for claim in placed.claims:
        if not claim.place or (claim.spec, claim.device) in there:
            continue
        entity, offer = entities[claim.spec], facts.offers[claim.spec]
        problem = _delay(facts, claim.spec) or _no_room(facts, placed, claim, offer)
        if problem:
            blocked.append((claim.spec, problem))
            continue
        name, version = entity.runs
        starts.append(Start(claim.spec, name, version, offer.memory, claim.device))
    running = {spec for spec, _ in there}
    problems = {spec: facts.offers[spec].problem for spec in sorted(_wanted(facts) - running) if spec in facts.offers}
    blocked += [(spec, problem) for spec, problem in problems.items() if problem]
    blocked += placed.missing.items()
    labels = {spec: "/".join(entity.runs) for spec, entity in entities.items()}
    return starts, "; ".join(f"{labels[spec]} is not started: {why}" for spec, why in dict.fromkeys(blocked))


def _stuck(facts: Facts, placed: Placement) -> dict[str, str]:
    """Why specs cannot be started. Who holds the room is told to those who see the endpoint, not to its callers."""
    problems = {spec: offer.problem.rstrip(".") for spec, offer in facts.offers.items() if offer.problem}
    return dict.fromkeys(placed.missing, "no device has the memory and the time for it") | problems


def _entities(endpoint: Endpoint) -> list[ServedEntity]:
    configs = (endpoint.active, endpoint.pending)
    return [entity for config in configs if config is not None for entity in config.entities]


def _no_room(facts: Facts, placed: Placement, claim: Claim, offer: Offer) -> str:
    """Why memory for another replica is missing: one that has yet to end there holds it until then."""
    here = [one.replica for one in facts.seen if one.place == (claim.spec, claim.device)]
    [device] = (one for one in facts.devices if one.name == claim.device)
    held = [*facts.others, *reservations(facts.endpoint.name, placed.claims)]
    _, free = left(device, [one for one in held if one.spec != claim.spec])
    if sum(replica.memory for replica in here) + offer.memory <= free:
        return ""
    if here:
        return f"there is no memory for it on {claim.device} until its predecessor has ended"
    return f"there is no memory for it on {claim.device} until replicas that no minimum asks for have ended"


def _delay(facts: Facts, spec: str) -> str:
    """Why a replica is not started yet after others of its spec crashed: the delay doubles from crash to crash."""
    recent = []
    for one in facts.failed:
        if one.spec != spec or facts.now_ms - one.changed_at > FORGOTTEN_MS:
            continue
        if one.changed_at - one.created_at >= LIVED_LONG_MS:
            break
        recent.append(one)
    if not recent:
        return ""
    wait_ms = min(FIRST_BACK_OFF_MS << min(len(recent) - 1, 10), LAST_BACK_OFF_MS)
    left_ms = recent[0].changed_at + wait_ms - facts.now_ms
    return f"it failed {len(recent)} times; again in {-(-left_ms // 1000)} s" if left_ms > 0 else ""
