"""Which devices hold what an endpoint needs.

What fits on one device goes to one that runs the same already for somebody, or else to the one that it fills best;
what does not is split in whole chunks over several, one replica on each. What stands stays: a device that a spec has is
given up only when the spec needs less.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from penstock.domain.placement import (
    ROUNDING,
    Claim,
    Device,
    Need,
    Reservation,
    left,
    places,
    shortage,
    together,
)
from penstock.domain.replica import Replica, ReplicaState
from penstock.domain.throughput import SOLD_FRACTION


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an endpoint's replicas go: what it holds from now on, and by spec what is missing, as a sentence."""

    claims: tuple[Claim, ...]
    missing: Mapping[str, str]

    @property
    def places(self) -> frozenset[tuple[str, str]]:
        """The (spec, device) pairs that are to have a replica."""
        return places(self.claims)


def place(
    holder: str,
    asked: Sequence[Need],
    devices: Sequence[Device],
    held: Sequence[Reservation],
    *,
    live: Sequence[Replica] = (),
    before: Sequence[Claim] = (),
) -> Placement:
    """Finds places for what is asked, beside what others hold.

    `before` is what the holder claimed last: it is kept as far as it is needed. `live` are the replicas that have not
    ended of any spec that concerns it, also those that others claim; a place that has one already takes no memory more.
    Firm needs come first. What finds no room is named in `missing`, the rest is placed.

    Where a firm need finds no memory, it is given that of replicas which no minimum asks for and of those that are
    ending: it is placed, and can be started when they are gone.
    """
    made = _placed(holder, asked, _Table(devices, held, live, before))
    firm = tuple(replace(one, further=()) for one in asked if one.firm)
    if any(one.spec in made.missing for one in firm) and any(one.soft or one.leaving for one in held):
        rest = [replace(one, memory=one.memory - one.soft - one.leaving, soft=0, leaving=0) for one in together(held)]
        displacing = _placed(holder, firm, _Table(devices, rest, live, before))
        if not displacing.missing:
            return displacing
    return made


def _placed(holder: str, asked: Sequence[Need], table: "_Table") -> Placement:
    ordered = sorted(asked, key=lambda one: (not one.firm, one.estimated, -one.share, -one.memory, one.spec))
    # Each step for all needs before the next: what stands is safe from what grows, and that from what is new.
    more = {one.spec: table.keep(one) for one in ordered}
    more = {one.spec: table.grow(one, more[one.spec]) for one in ordered}
    more = {one.spec: table.add(one, more[one.spec]) for one in ordered}
    lacking = [one for one in ordered if more[one.spec] or not table.has_place(one)]
    fit = table.fit_for(lacking)
    missing = {one.spec: shortage(fit, table.held, table.total(holder, lacking, more), lacking) for one in lacking}
    for one in lacking:
        table.cling(one)
    for one in ordered:
        table.extend(one)
    table.spread()
    return Placement(table.claims(), missing)


@dataclass(slots=True)
class _Part:
    """A claim while it is made. `wish` is the share that an estimate would like on top."""

    share: float = 0.0
    memory: int = 0
    place: bool = False
    soft: bool = False
    wish: float = 0.0


class _Room:
    """What is left of a device. `hoped` is the share that would be left if estimates got what they would like.

    `others` is the memory that others hold for a spec, `firm` those that they hold for a minimum. `live` and `leaving`
    are the memory of a spec's replicas, and of those that are about to end.
    """

    def __init__(self, device: Device, held: Sequence[Reservation]) -> None:
        self.device = device
        self.share, self.memory = left(device, held)
        mine = together(one for one in held if one.device == device.name)
        self.ending = sum(one.leaving for one in mine)
        self.wishes = 0.0
        self.others = {one.spec: one.memory for one in mine if one.spec}
        self.firm = {one.spec for one in mine if one.memory and not one.soft and not one.leaving}
        self._wished = [(one.spec, one.wish) for one in mine if one.wish]
        self.live: dict[str, int] = {}
        self.leaving: dict[str, int] = {}
        self._counted = dict(self.others)

    @property
    def hoped(self) -> float:
        return self.share - self.wishes

    def free(self, one: Need) -> float:
        """The share that the need can have: others' guesses refuse no guess, nor what has the same measurement."""
        return self.share + sum(wish for spec, wish in self._wished if one.estimated or one.spec == spec)

    def add(self, replica: Replica) -> None:
        """A replica that has not ended."""
        spec, memory = replica.spec, replica.memory
        self.live[spec] = self.live.get(spec, 0) + memory
        if replica.state is ReplicaState.DRAINING:
            self.leaving[spec] = self.leaving.get(spec, 0) + memory
        self.count(spec, self.live[spec])

    def with_one(self, one: Need) -> int:
        """The memory of a spec's replicas with another one, which takes over what those about to end give up."""
        return self.live.get(one.spec, 0) + max(one.memory - self.leaving.get(one.spec, 0), 0)

    def lacks(self, one: Need) -> int:
        """The memory that another replica would take, beyond what somebody holds for that spec already."""
        return max(self.with_one(one) - self._counted.get(one.spec, 0), 0)

    def count(self, spec: str, memory: int) -> None:
        """The replicas of a spec take so much in all."""
        self.memory -= max(memory - self._counted.get(spec, 0), 0)
        self._counted[spec] = max(memory, self._counted.get(spec, 0))


@dataclass(slots=True)
class _Table:
    """The devices with what is left of each, and the parts of one holder on them."""

    devices: Sequence[Device]
    held: Sequence[Reservation]
    live: Sequence[Replica]
    before: Sequence[Claim]
    rooms: dict[str, _Room] = field(init=False)
    parts: dict[tuple[str, str], _Part] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.rooms = {device.name: _Room(device, self.held) for device in self.devices}
        for replica in self.live:
            if room := self.rooms.get(replica.device):
                room.add(replica)
                self._part(replica.spec, replica.device).memory += replica.memory

    def keep(self, one: Need) -> int:
        """Keeps the places that a spec has, each with no more chunks than it had; returns the chunks still needed."""
        more = one.chunks
        stood = self._stood(one)
        for device, share in stood.items():
            room = self.rooms[device]
            if not one.chunks:
                if not self.has_place(one) and not self._yields(one, room):
                    self._settle(one, room, 0)
            elif one.estimated:
                more = 0 if self._guess(one, room, parts=len(stood)) else more
            elif count := min(more, one.whole(share), one.whole(room.free(one))):
                more -= self._settle(one, room, count)
        return more

    def grow(self, one: Need, more: int) -> int:
        """Gives the places that a spec has more chunks, and returns those still needed."""
        for device in () if one.estimated else self._stood(one):
            room = self.rooms[device]
            if count := min(more, one.whole(room.free(one)) if more else 0):
                more -= self._settle(one, room, count)
        return more

    def add(self, one: Need, more: int) -> int:
        """Finds new places, as few as will do; returns the chunks that have none."""
        if one.estimated and more:
            room = self._for_guess(one)
            return 0 if room is not None and self._guess(one, room, parts=1) else more
        if not one.chunks and not self.has_place(one):
            room = max(self._open(one), key=lambda room: (self._runs(one, room), room.hoped), default=None)
            if room is not None:
                self._settle(one, room, 0)
        while more:
            free = [room for room in self._open(one) if one.whole(room.free(one))]
            if not free:
                break
            enough = [room for room in free if one.whole(room.free(one)) >= more]
            if enough:
                room = min(enough, key=lambda room: (not self._runs(one, room), room.free(one)))
            else:
                room = max(free, key=lambda room: (room.free(one), self._runs(one, room)))
            more -= self._settle(one, room, min(more, one.whole(room.free(one))))
        return more

    def cling(self, one: Need) -> None:
        """Lets a replica stand for which there is nothing to reserve, rather than serve nothing."""
        if not self.has_place(one):
            for device in self._stood(one):
                if self._stands(one, device) and not self._yields(one, self.rooms[device]):
                    part = self._part(one.spec, device)
                    part.place, part.soft = True, not one.firm
                    return

    def extend(self, one: Need) -> None:
        """Adds the further places, where there is memory that no minimum needs."""
        for device in one.further if self.has_place(one) else ():
            room, part = self.rooms.get(device), self._part(one.spec, device)
            if room is None or part.place or not one.may_go_to(room.device):
                continue
            if not self._gives_way(one, room):
                self._settle(one, room, 0)
                part.soft = part.place

    def total(self, holder: str, lacking: Sequence[Need], more: Mapping[str, int]) -> Reservation:
        """All that the holder asks for: what it has by now and what of the lacking has no place."""
        share = sum(one.least if one.estimated else more[one.spec] * one.chunk for one in lacking)
        memory = sum(min(room.lacks(one) for room in self.rooms.values()) for one in lacking if not self.has_place(one))
        share += sum(part.share for part in self.parts.values())
        for (spec, device), part in self.parts.items():
            memory += max(part.memory - self.rooms[device].others.get(spec, 0), 0)
        return Reservation(holder, share, memory, "")

    def spread(self) -> None:
        """Gives estimates what is left of their devices, in proportion to what they would like."""
        for device, room in self.rooms.items():
            mine = [part for (_, where), part in self.parts.items() if where == device and part.wish]
            wish = sum(part.wish for part in mine)
            for part in mine:
                part.wish *= min(1.0, max(room.share, 0.0) / wish)
                part.share += part.wish

    def fit_for(self, asked: Sequence[Need]) -> Sequence[Device]:
        """The devices that one of them can run on."""
        return [device for device in self.devices if any(one.may_go_to(device) for one in asked)] or self.devices

    def has_place(self, one: Need) -> bool:
        """Whether the spec is to have a replica anywhere."""
        return any(part.place for (spec, _), part in self.parts.items() if spec == one.spec)

    def claims(self) -> tuple[Claim, ...]:
        """What the holder has now."""
        return tuple(
            Claim(spec, device, part.share, part.memory, part.place, part.place and part.soft, part.wish)
            for (spec, device), part in self.parts.items()
            if part.place or (part.memory and spec not in self.rooms[device].others)
        )

    def _for_guess(self, one: Need) -> _Room | None:
        """The device for an estimate: one that has all of it and is filled best, else the one with most left."""
        free = [room for room in self._open(one) if room.free(one) + ROUNDING >= one.least]
        enough = [room for room in free if room.hoped >= one.share]
        if enough:
            return min(enough, key=lambda room: (not self._runs(one, room), room.hoped))
        return max(free, key=lambda room: (self._runs(one, room), room.hoped), default=None)

    def _open(self, one: Need) -> list[_Room]:
        """Devices with memory for a replica, and none of the spec's yet, in their order."""
        return [
            room
            for room in self.rooms.values()
            if one.may_go_to(room.device)
            and not self._part(one.spec, room.device.name).place
            and self._takes(one, room)
            and not self._yields(one, room)
        ]

    def _takes(self, one: Need, room: _Room) -> bool:
        """Whether there is a replica already, or memory for one."""
        return self._stands(one, room.device.name) or room.lacks(one) <= room.memory

    def _runs(self, one: Need, room: _Room) -> bool:
        """Whether the spec is there already for somebody: one full batch does more than two that are half full."""
        return one.spec in room.others or self._stands(one, room.device.name)

    def _yields(self, one: Need, room: _Room) -> bool:
        """Whether a need that is not firm must leave the device, because a minimum needs the memory."""
        return not one.firm and self._gives_way(one, room)

    def _gives_way(self, one: Need, room: _Room) -> bool:
        """Whether memory is missing, and letting go of the replica there would give some."""
        return self._stands(one, room.device.name) and one.spec not in room.firm and room.memory + room.ending < 0

    def _stands(self, one: Need, device: str) -> bool:
        """Whether the spec has a replica there that is not about to end."""
        mine = (x for x in self.live if x.spec == one.spec and x.device == device)
        return any(x.state is not ReplicaState.DRAINING for x in mine)

    def _stood(self, need: Need) -> dict[str, float]:
        """The devices that the holder has for a spec, with its share of each; first those where a replica stands."""
        spec = need.spec
        claimed = {one.device: one.share for one in self.before if one.spec == spec and one.place}
        live = {one.device for one in self.live if one.spec == spec and one.state is not ReplicaState.DRAINING}
        return {
            device: claimed[device]
            for device in sorted(claimed, key=lambda one: one not in live)
            if device in self.rooms and need.may_go_to(self.rooms[device].device)
        }

    def _part(self, spec: str, device: str) -> _Part:
        return self.parts.setdefault((spec, device), _Part())

    def _settle(self, one: Need, room: _Room, count: int) -> int:
        """Gives the need a place on the device, if not yet, and so many chunks more; returns how many it got."""
        part = self._part(one.spec, room.device.name)
        if not part.place and not self._stands(one, room.device.name):
            if not self._takes(one, room):
                return 0
            part.memory = room.with_one(one)
            room.count(one.spec, part.memory)
        part.place, part.soft = True, not one.firm
        part.share += count * one.chunk
        room.share -= count * one.chunk
        return count

    def _guess(self, one: Need, room: _Room, *, parts: int) -> bool:
        """Gives an estimate a place with the least share, and a wish for its part of all; whether that went well."""
        self._settle(one, room, 0)
        part = self._part(one.spec, room.device.name)
        if part.place:
            least = min(one.least, max(room.free(one), 0.0))
            part.share += least
            room.share -= least
            part.wish = max(min(one.share / parts, SOLD_FRACTION) - least, 0.0)
            room.wishes += part.wish
        return part.place
