"""One look at all served entities: what each is allotted of which device, and where it gets a further replica.

`penstock.domain.scaling.decide` says how much each would have of devices that are large enough. What there is, is given
chunk by chunk to whoever has the least part of its wish, so that nobody's rounding starves another, and never beyond
what a device sells. Where the devices that an entity runs on have less than lasting demand needs, a replica is started
on one with room, whose chunks are kept for it until it is ready. It ends when the others could have carried the most
that was wanted within the window of its start-up time.

Pure, so that a day can be replayed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush

from penstock.domain.scaling import Decision, Kind, Policy, Sample, State, Want, count, decide, window
from penstock.domain.scaling_room import Part
from penstock.domain.throughput import SOLD_FRACTION

_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Reach:
    """A replica beyond the minimum: asked for at `since`, or ready. So many `chunks` are kept for it until it is.

    It is to be ready after `start_s` seconds, 0 where it joins one that runs for others.
    """

    since: float
    chunks: int = 0
    ready: bool = False
    start_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Memory:
    """What one round leaves for the next. `wants` are those of `decide`, `peaks` the same over a start-up's window.

    `given` is what was allotted, below 0 before the first round. No replica is started before `rests_until`.
    """

    wants: tuple[Want, ...] = ()
    peaks: tuple[Want, ...] = ()
    reaches: Mapping[str, Reach] = field(default_factory=dict)
    given: float = -1.0
    rests_until: float = float("-inf")


@dataclass(frozen=True, slots=True)
class Standing:
    """One served entity before a round. A chunk is `chunk` tokens per second and `chunk_share` of a device's time.

    `parts` are what it has of the devices with a ready replica. A further replica takes `startup_s` to start, and could
    on the devices `places`, of which no minimum has reserved the share that they are mapped to. On those of them that
    are `running` one serves others already, which can be joined at once.
    """

    minimum: float
    maximum: float
    chunk: float
    chunk_share: float
    parts: tuple[Part, ...]
    samples: Sequence[Sample]
    idle_s: float = 0.0
    startup_s: float = 0.0
    places: Mapping[str, float] = field(default_factory=dict)
    running: frozenset[str] = frozenset()
    memory: Memory = field(default_factory=Memory)

    @property
    def allotment(self) -> float:
        """Tokens per second; never less than the minimum."""
        return max(sum(max(one.allotted, one.floor) for one in self.parts), self.minimum)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a served entity gets: `allotment` is all of `parts`, tokens per second by device; `before` what it had.

    It is to have replicas on `devices`, and on those of `further` beyond the minimum. `free` tokens per second are left
    on its devices. A replica that is to be ready in `ready_in_s` will have `coming` tokens per second; 0 where none is.
    """

    decision: Decision
    kind: Kind
    reason: str
    before: float
    allotment: float
    parts: Mapping[str, float]
    free: float
    startup_s: float
    devices: tuple[str, ...]
    memory: Memory
    ready_in_s: float = 0.0
    coming: float = 0.0

    @property
    def further(self) -> frozenset[str]:
        """The devices of replicas beyond the minimum."""
        return frozenset(self.memory.reaches)

    @property
    def changed(self) -> bool:
        """Whether anything is decided that was not so before."""
        return self.kind is not Kind.HELD


def look(now: float, policy: Policy, standings: Sequence[Standing]) -> list[Verdict]:
    """One round, at `now` seconds of the samples' clock."""
    devices = _Devices([_Case(now, policy, one) for one in standings])
    for case in devices.cases:
        devices.lower(case)
    devices.reclaim()
    devices.keep_for_ready()
    devices.raise_all()
    for case in devices.cases:
        devices.reach_out(case)
        devices.let_go(case)
    return [devices.verdict(case) for case in devices.cases]


class _Case:
    """One served entity in a round. `extra` is tokens per second beyond the floors, by device."""

    def __init__(self, now: float, policy: Policy, standing: Standing) -> None:
        self.now, self.policy, self.standing = now, policy, standing
        self.floors = {one.device: one.floor for one in standing.parts}
        self.extra = {one.device: max(one.allotted - one.floor, 0.0) for one in standing.parts}
        self.reaches = self._reaches()
        self.left: set[str] = set()
        self.notes: list[str] = []
        self.mark: Kind | None = None
        self.rests_until = standing.memory.rests_until
        self.decision = self.decide(standing.maximum)
        most = State(0, standing.minimum, standing.maximum, standing.chunk, 0).ceiling
        self.wanted = min(self.decision.wanted, most)
        outlasts = standing.startup_s > policy.burst_s
        self.lasting = min(self.decision.lasting, most) if outlasts else self.wanted
        since = now - policy.window_s(standing.startup_s)
        self.peaks = window(standing.memory.peaks, Want(now, self.wanted), since)

    def _reaches(self) -> dict[str, Reach]:
        """What was asked for, as it stands: a replica that is ready, one that is lost, one that is the minimum's."""
        found = {}
        for device, reach in self.standing.memory.reaches.items():
            if self.floors.get(device, 0.0) > 0:
                continue
            ready = device in self.floors
            lost = reach.ready and not ready
            again = Reach(self.now, reach.chunks, start_s=self.standing.startup_s)
            found[device] = again if lost else replace(reach, ready=ready)
        return found

    def decide(self, free: float) -> Decision:
        """The decision of an entity whose devices have so much free."""
        one = self.standing
        state = State(
            allotment=one.allotment,
            minimum=one.minimum,
            maximum=one.maximum,
            chunk=one.chunk,
            free=free,
            idle_s=one.idle_s,
            wants=one.memory.wants,
            devices=max(len(one.parts), 1),
        )
        return decide(self.now, self.policy, state, one.samples)

    @property
    def allotment(self) -> float:
        return max(sum(self.floors.values()) + sum(self.extra.values()), self.standing.minimum)

    @property
    def lack(self) -> int:
        """Chunks that it is to have and has not."""
        return max(round((self.decision.allotment - self.allotment) / self.standing.chunk), 0)

    def share(self, tokens_per_s: float) -> float:
        return tokens_per_s / self.standing.chunk * self.standing.chunk_share

    def whole(self, share: float) -> int:
        """Chunks that a share is good for."""
        return max(int(share / self.standing.chunk_share + _ROUNDING), 0)

    def by_worth(self) -> list[str]:
        """Its devices, those first that it is to keep: of the minimum, then by age."""
        home = [name for name in self.extra if name not in self.reaches]
        return home + sorted(self.extra.keys() & self.reaches.keys(), key=lambda name: (self.reaches[name].since, name))


class _Devices:
    """All devices in a round: the share that is left of each, that is allotted above minimums, and that is kept.

    It is kept for replicas that are being started there.
    """

    def __init__(self, cases: list[_Case]) -> None:
        self.cases = cases
        names = {name for case in cases for name in (*case.floors, *case.reaches, *case.standing.places)}
        self.rooms = dict.fromkeys(sorted(names), SOLD_FRACTION)
        self.extra = dict.fromkeys(names, 0.0)
        self.kept = dict.fromkeys(names, 0.0)
        for case in cases:
            for name, floor in case.floors.items():
                self.rooms[name] -= case.share(floor + case.extra[name])
                self.extra[name] += case.share(case.extra[name])
            for name, reach in case.reaches.items():
                self.kept[name] += 0.0 if reach.ready else case.share(reach.chunks * case.standing.chunk)

    def lower(self, case: _Case) -> None:
        """Takes what is no longer to be allotted, from further replicas first."""
        over = case.allotment - case.decision.allotment
        for name in reversed(case.by_worth()):
            if over > _ROUNDING * case.standing.chunk:
                taken = min(over, case.extra[name])
                self._give(case, name, -taken)
                over -= taken

    def reclaim(self) -> None:
        """Takes back what is allotted beyond what a device sells, from whoever has the most above a minimum there."""
        for name in self.rooms:
            while self.rooms[name] < -_ROUNDING:
                mine = [case for case in self.cases if case.extra.get(name, 0.0) > 0]
                if not mine:
                    break
                case = max(mine, key=lambda one: one.share(one.extra[name]))
                self._give(case, name, -min(case.standing.chunk, case.extra[name]))
                case.mark = Kind.RECLAIMED

    def keep_for_ready(self) -> None:
        """Gives replicas that have become ready the chunks that were kept for them."""
        for case in self.cases:
            for name, reach in case.reaches.items():
                if reach.ready and reach.chunks:
                    chunks = min(reach.chunks, case.lack, case.whole(self.rooms[name]))
                    self._give(case, name, chunks * case.standing.chunk)
                    case.reaches[name] = replace(reach, chunks=0)

    def raise_all(self) -> None:
        """Gives chunk after chunk to the entity that has the least part of its wish and can get one."""
        asked = [0 if case.mark is Kind.RECLAIMED else case.lack for case in self.cases]
        queue = [(0.0, at) for at, chunks in enumerate(asked) if chunks]
        while queue:
            _, at = heappop(queue)
            case = self.cases[at]
            names = [name for name in case.by_worth() if case.whole(self._free(name))]
            if not names:
                continue
            home = [name for name in names if name not in case.reaches] or names
            self._give(case, max(home, key=self._free), case.standing.chunk)
            if case.lack:
                heappush(queue, (1 - case.lack / asked[at], at))

    def reach_out(self, case: _Case) -> None:
        """Starts replicas where the entity's devices have less than lasting demand needs; a burst joins what runs."""
        one, held = case.standing, int(case.allotment / case.standing.chunk + _ROUNDING)
        lack, now_lack = case.lasting - held, case.wanted - held
        for name, reach in case.reaches.items():
            if not reach.ready:
                self._keep(case, name, replace(reach, chunks=0))
                chunks = min(max(lack if reach.start_s else now_lack, 0), case.whole(self._free(name)))
                self._keep(case, name, replace(reach, chunks=chunks))
                lack, now_lack = lack - chunks, now_lack - chunks
        if case.now < case.rests_until or not any(case.floors) or case.decision.kind is Kind.ZERO:
            return
        while now_lack > 0:
            free = self._elsewhere(case)
            joined = {name: most for name, most in free.items() if name in one.running}
            needed = now_lack if joined else lack
            free = joined or free
            if needed <= 0 or not free:
                return
            enough = {name: most for name, most in free.items() if most >= needed}
            name = min(enough, key=lambda one: enough[one]) if enough else max(free, key=lambda one: free[one])
            chunks = min(needed, free[name])
            self._keep(case, name, Reach(case.now, chunks, start_s=0.0 if joined else one.startup_s))
            case.mark = Kind.STARTED
            case.notes.append(
                f"The replica that runs on {name} is joined, for {count(chunks)}."
                if joined
                else f"A replica is started on {name}, for {count(chunks)}; that takes about {one.startup_s:.0f} s."
            )
            lack, now_lack = lack - chunks, now_lack - chunks

    def _elsewhere(self, case: _Case) -> dict[str, int]:
        """The devices where the entity could have another replica, with the chunks that it could have there."""
        free = {name: case.whole(self._open(name, share)) for name, share in case.standing.places.items()}
        return {name: most for name, most in free.items() if most and name not in {*case.reaches, *case.floors}}

    def let_go(self, case: _Case) -> None:
        """Stops replicas that the window did not need, or that did not come."""
        one, policy = case.standing, case.policy
        for name, reach in sorted(case.reaches.items(), key=lambda item: item[1].since, reverse=True):
            late = not reach.ready and case.now - reach.since > reach.start_s + policy.give_up_s
            others = [other for other in case.floors if other != name]
            able = int(sum(case.floors[other] + case.extra[other] for other in others) / one.chunk + _ROUNDING)
            able += sum(case.whole(self._free(other)) for other in others)
            able += sum(x.chunks for other, x in case.reaches.items() if other != name and not x.ready)
            peak = case.peaks[0].chunks
            asleep = case.decision.kind is Kind.ZERO or not any(case.floors)
            if late:
                case.notes.append(f"The replica on {name} is given up: it was to be ready after {reach.start_s:.0f} s.")
                case.rests_until = case.now + policy.give_up_s
            elif asleep:
                case.notes.append(f"The replica on {name} is stopped.")
            elif peak <= able:
                seconds = policy.window_s(one.startup_s)
                case.notes.append(
                    f"The replica on {name} is stopped: no more than {count(peak)} in {seconds:g} s, which the other "
                    f"devices have."
                )
            else:
                continue
            self._keep(case, name, replace(reach, chunks=0))
            del case.reaches[name]
            case.left.add(name)
            case.mark = Kind.STOPPED
            self._move(case, name, others)

    def _move(self, case: _Case, name: str, others: Sequence[str]) -> None:
        """Puts what was allotted on a device that is left on the others, as far as they have room."""
        extra, chunk = case.extra.get(name, 0.0), case.standing.chunk
        if not extra:
            return
        self._give(case, name, -extra)
        for other in others:
            chunks = min(case.whole(self._free(other)), int(extra / chunk + _ROUNDING))
            self._give(case, other, chunks * chunk)
            extra -= chunks * chunk

    def verdict(self, case: _Case) -> Verdict:
        """What came of it."""
        one, memory = case.standing, case.standing.memory
        new, decision = case.allotment, case.decision
        if decision.kind is Kind.UP and case.lack:
            decision = case.decide(new - one.allotment)
        kind, reason = decision.kind, decision.reason
        old = memory.given if memory.given >= 0 else one.allotment
        news = _unasked(case)
        if news is not None:
            kind, reason = news[0], f"{news[1]} {reason}"
        if case.mark is Kind.STARTED or case.mark is Kind.STOPPED:
            kind = case.mark
        coming = {name: reach for name, reach in case.reaches.items() if not reach.ready}
        further_s = one.startup_s if case.reaches or case.lack else 0.0
        return Verdict(
            decision=decision,
            kind=kind,
            reason=" ".join([reason, *case.notes]),
            before=old,
            allotment=new,
            parts={name: floor + case.extra[name] for name, floor in case.floors.items()},
            free=sum(max(self._free(name), 0.0) for name in case.floors) / one.chunk_share * one.chunk,
            startup_s=max((x.start_s for x in coming.values()), default=further_s),
            devices=tuple(sorted(({*case.floors, *case.reaches}) - case.left - {""})),
            memory=Memory(decision.wants, case.peaks, case.reaches, new, case.rests_until),
            ready_in_s=max(min((x.since + x.start_s for x in coming.values()), default=0.0) - case.now, 0.0),
            coming=sum(reach.chunks for reach in coming.values()) * one.chunk,
        )

    def _give(self, case: _Case, name: str, tokens_per_s: float) -> None:
        case.extra[name] += tokens_per_s
        self.rooms[name] -= case.share(tokens_per_s)
        self.extra[name] += case.share(tokens_per_s)

    def _keep(self, case: _Case, name: str, reach: Reach) -> None:
        """Keeps another number of chunks for a replica."""
        before = case.reaches.get(name)
        for one, sign in ((before, -1), (reach, 1)):
            if one is not None and not one.ready:
                self.kept[name] += sign * case.share(one.chunks * case.standing.chunk)
        case.reaches[name] = reach

    def _free(self, name: str) -> float:
        """The share that is left of a device."""
        return self.rooms[name] - self.kept[name]

    def _open(self, name: str, unreserved: float) -> float:
        """The share that a replica could have which is not there yet: minimums may be reserved that are not served."""
        return min(self.rooms[name], unreserved - self.extra[name]) - self.kept[name]


def _unasked(case: _Case) -> tuple[Kind, str] | None:
    """What has changed the allotment since the round before, or must now: not demand, but others or the band."""
    one, given = case.standing, case.standing.memory.given
    least = _ROUNDING * one.chunk
    gone = [name for name, reach in one.memory.reaches.items() if reach.ready and name not in case.floors]
    if given >= 0 and gone:
        return Kind.RECLAIMED, f"The replica on {', '.join(gone)} is gone."
    if given > one.maximum + least or (given >= 0 and one.allotment > given + least):
        return Kind.BAND, f"The band is now {one.minimum:,.0f} to {one.maximum:,.0f} tokens/s."
    if case.mark is Kind.RECLAIMED or one.allotment < given - least:
        return Kind.RECLAIMED, "A minimum came or was raised, and takes what others were allotted above theirs."
    return None
