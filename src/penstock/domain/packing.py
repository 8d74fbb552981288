"""Which devices hold what an endpoint needs.

What fits on one device goes to the one that it fills best; what does not is split in whole chunks over several, one
replica on each. What stands stays: a device that a spec has is given up only when the spec needs less.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from penstock.domain.placement import ROUNDING, Claim, Device, Need, Reservation, left, shortage
from penstock.domain.replica import Replica, ReplicaState
from penstock.domain.throughput import SOLD_FRACTION


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an endpoint's replicas go: what it holds from now on, and by spec what is missing, as a sentence."""

    claims: tuple[Claim, ...]
    missing: Mapping[str, str]

    @property
    def places(self) -> tuple[tuple[str, str], ...]:
        """The (spec, device) pairs that are to have a replica."""
        return tuple((claim.spec, claim.device) for claim in self.claims if claim.place)


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

    `live` are the holder's replicas that have not ended, oldest first, and `before` what it claimed last: both are kept
    as far as they are needed. Firm needs come first. What finds no room is named in `missing`, the rest is placed.

    Where a firm need finds no memory, it is given that of replicas which no minimum asks for and of those that are
    ending: it is placed, and can be started when they are gone.
    """
    made = _placed(holder, asked, _Table(devices, held, live, before))
    firm = tuple(replace(one, further=()) for one in asked if one.firm)
    if any(one.spec in made.missing for one in firm) and any(one.soft or one.leaving for one in held):
        rest = [replace(one, memory=one.memory - one.soft - one.leaving, soft=0, leaving=0) for one in held]
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
    missing = {
        one.spec: shortage(table.devices, table.held, table.total(holder, lacking, more), lacking) for one in lacking
    }
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
    """What is left of a device. `hoped` is the share that would be left if estimates got what they would like."""

    def __init__(self, device: Device, held: Sequence[Reservation]) -> None:
        self.device = device.name
        self.share, self.memory = left(device, held)
        self.ending = sum(one.leaving for one in held if one.device == device.name)
        self.wishes = 0.0
        self.leaving: dict[str, int] = {}

    @property
    def hoped(self) -> float:
        return self.share - self.wishes

    def lacks(self, one: Need) -> int:
        """The memory that a replica would take beside those of its spec that are about to end."""
        return max(one.memory - self.leaving.get(one.spec, 0), 0)

    def takes(self, one: Need) -> bool:
        return self.lacks(one) <= self.memory


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
                room.memory -= replica.memory
                if replica.state is ReplicaState.DRAINING:
                    room.leaving[replica.spec] = room.leaving.get(replica.spec, 0) + replica.memory
                self._part(replica.spec, replica.device).memory += replica.memory

    def keep(self, one: Need) -> int:
        """Keeps the places that a spec has, each with no more chunks than it had; returns the chunks still needed."""
        more = one.chunks
        stood = self._stood(one.spec)
        for device, share in stood.items():
            room = self.rooms[device]
            if not one.chunks:
                if not self.has_place(one) and not self._yields(one, room):
                    self._settle(one, room, 0)
            elif one.estimated:
                more = 0 if self._guess(one, room, parts=len(stood)) else more
            elif count := min(more, one.whole(share), one.whole(room.share)):
                more -= self._settle(one, room, count)
        return more

    def grow(self, one: Need, more: int) -> int:
        """Gives the places that a spec has more chunks, and returns those still needed."""
        for device in () if one.estimated else self._stood(one.spec):
            room = self.rooms[device]
            if count := min(more, one.whole(room.share) if more else 0):
                more -= self._settle(one, room, count)
        return more

    def add(self, one: Need, more: int) -> int:
        """Finds new places, as few as will do; returns the chunks that have none."""
        if one.estimated and more:
            room = self._for_guess(one)
            return 0 if room is not None and self._guess(one, room, parts=1) else more
        if not one.chunks and not self.has_place(one):
            room = max(self._open(one), key=lambda room: room.hoped, default=None)
            if room is not None:
                self._settle(one, room, 0)
        while more:
            free = [room for room in self._open(one) if one.whole(room.share)]
            if not free:
                break
            enough = [room for room in free if one.whole(room.share) >= more]
            room = min(enough, key=lambda room: room.share) if enough else max(free, key=lambda room: room.share)
            more -= self._settle(one, room, min(more, one.whole(room.share)))
        return more

    def cling(self, one: Need) -> None:
        """Lets a replica stand for which there is nothing to reserve, rather than serve nothing."""
        if not self.has_place(one):
            for device in self._stood(one.spec):
                if self._stands(one, device) and not self._yields(one, self.rooms[device]):
                    part = self._part(one.spec, device)
                    part.place, part.soft = True, not one.firm
                    return

    def extend(self, one: Need) -> None:
        """Adds the further places, where there is memory that no minimum needs."""
        for device in one.further if self.has_place(one) else ():
            room, part = self.rooms.get(device), self._part(one.spec, device)
            if room is not None and not part.place and not self._gives_way(one, room):
                self._settle(one, room, 0)
                part.soft = part.place

    def total(self, holder: str, lacking: Sequence[Need], more: Mapping[str, int]) -> Reservation:
        """All that the holder asks for: what it has by now and what of the lacking has no place."""
        share = sum(one.least if one.estimated else more[one.spec] * one.chunk for one in lacking)
        memory = sum(one.memory for one in lacking if not self.has_place(one))
        parts = self.parts.values()
        return Reservation(holder, share + sum(x.share for x in parts), memory + sum(x.memory for x in parts), "")

    def spread(self) -> None:
        """Gives estimates what is left of their devices, in proportion to what they would like."""
        for device, room in self.rooms.items():
            mine = [part for (_, where), part in self.parts.items() if where == device and part.wish]
            wish = sum(part.wish for part in mine)
            for part in mine:
                part.share += part.wish * min(1.0, max(room.share, 0.0) / wish)

    def has_place(self, one: Need) -> bool:
        """Whether the spec is to have a replica anywhere."""
        return any(part.place for (spec, _), part in self.parts.items() if spec == one.spec)

    def claims(self) -> tuple[Claim, ...]:
        """What the holder has now."""
        return tuple(
            Claim(spec, device, part.share, part.memory, part.place, part.place and part.soft)
            for (spec, device), part in self.parts.items()
            if part.place or part.memory
        )

    def _for_guess(self, one: Need) -> _Room | None:
        """The device for an estimate: one that has all of it and is filled best, else the one with most left."""
        free = [room for room in self._open(one) if room.share + ROUNDING >= one.least]
        enough = [room for room in free if room.hoped >= one.share]
        if enough:
            return min(enough, key=lambda room: room.hoped)
        return max(free, key=lambda room: room.hoped, default=None)

    def _open(self, one: Need) -> list[_Room]:
        """Devices with memory for a replica, and none of the spec's yet, in their order."""
        return [
            room
            for room in self.rooms.values()
            if not self._part(one.spec, room.device).place
            and (room.takes(one) or self._stands(one, room.device))
            and not self._yields(one, room)
        ]

    def _yields(self, one: Need, room: _Room) -> bool:
        """Whether a need that is not firm must leave the device, because a minimum needs the memory."""
        return not one.firm and self._gives_way(one, room)

    def _gives_way(self, one: Need, room: _Room) -> bool:
        return self._stands(one, room.device) and room.memory + room.ending < 0

    def _stands(self, one: Need, device: str) -> bool:
        """Whether the spec has a replica there that is not about to end."""
        mine = (x for x in self.live if x.spec == one.spec and x.device == device)
        return any(x.state is not ReplicaState.DRAINING for x in mine)

    def _stood(self, spec: str) -> dict[str, float]:
        """The devices that a spec has, with its share of each: where replicas stand, then where they are to be."""
        claimed = {one.device: one.share for one in self.before if one.spec == spec and one.place}
        live = [one for one in self.live if one.spec == spec and one.state is not ReplicaState.DRAINING]
        found = {one.device: claimed.get(one.device, one.share) for one in live}
        return {device: share for device, share in {**found, **claimed}.items() if device in self.rooms}

    def _part(self, spec: str, device: str) -> _Part:
        return self.parts.setdefault((spec, device), _Part())

    def _settle(self, one: Need, room: _Room, count: int) -> int:
        """Gives the need a place on the device, if not yet, and so many chunks more; returns how many it got."""
        part = self._part(one.spec, room.device)
        if not part.place and not self._stands(one, room.device):
            if not room.takes(one):
                return 0
            part.memory += room.lacks(one)
            room.memory -= room.lacks(one)
        part.place, part.soft = True, not one.firm
        part.share += count * one.chunk
        room.share -= count * one.chunk
        return count

    def _guess(self, one: Need, room: _Room, *, parts: int) -> bool:
        """Gives an estimate a place with the least share, and a wish for its part of all; whether that went well."""
        self._settle(one, room, 0)
        part = self._part(one.spec, room.device)
        if part.place:
            least = min(one.least, max(room.share, 0.0))
            part.share += least
            room.share -= least
            part.wish = max(min(one.share / parts, SOLD_FRACTION) - least, 0.0)
            room.wishes += part.wish
        return part.place
