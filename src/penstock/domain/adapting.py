"""What becomes of the LoRA adapters of replicas: loaded for those who want them, dropped when nobody does.

Adapters come and go while an engine runs, if it was started with room for them. One that has too little gives way to
another of its spec that has enough: beside it while memory allows that, so that nobody waits.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from penstock.domain.endpoint import Config, Endpoint
from penstock.domain.replica import Replica
from penstock.domain.steps import Step

Wanted = Mapping[str, frozenset[str]]
"""Names of adapters by the spec of what they run on."""
Rooms = Mapping[str, int]
"""By spec the room for adapters that its engines are to have: the ranks of all together."""
LEAST_ROOM = 32
ROOM_STEP = 4
"""Room grows in few steps, as each is another engine that is measured and has to be started."""


@dataclass(frozen=True, slots=True)
class Load:
    """Load the adapter into a replica's engine. Safe to repeat."""

    replica: Replica
    adapter: str


@dataclass(frozen=True, slots=True)
class Unload:
    """Drop the adapter from a replica's engine. Safe to repeat."""

    replica: Replica
    adapter: str


def stepped_room(ranks: Iterable[int]) -> int:
    """The room for adapters of these ranks, 0 for none: 32, 128, 512 and so on."""
    needed, room = sum(ranks), LEAST_ROOM
    while room < needed:
        room *= ROOM_STEP
    return room if needed else 0


def adapters(*configs: Config | None) -> dict[str, frozenset[str]]:
    """Those that configurations want, for each spec that they want any of."""
    found: dict[str, frozenset[str]] = {}
    for entity in (entity for config in configs if config is not None for entity in config.entities):
        if entity.adapter:
            found[entity.spec] = found.get(entity.spec, frozenset()) | {entity.adapter}
    return found


def wanted_by(endpoint: Endpoint) -> dict[str, frozenset[str]]:
    """Those that an endpoint wants, now or soon."""
    return {} if endpoint.deleted else adapters(endpoint.active, endpoint.pending)


def has_all(one: Step, wanted: Wanted) -> bool:
    """Whether a replica has the adapters that are wanted of its spec."""
    return wanted.get(one.seen.replica.spec, frozenset()) <= one.seen.adapted.loaded


def refused(one: Step, wanted: Wanted) -> str:
    """Why one of the adapters that are wanted cannot be loaded, empty if that is not known of any."""
    mine, why = wanted.get(one.seen.replica.spec, frozenset()), one.seen.adapted.refused
    return next((f"Adapter {name} cannot be loaded: {why[name]}" for name in sorted(mine) if name in why), "")


def changes(one: Step, mine: Wanted, everybody: Wanted, rooms: Rooms) -> list[Load | Unload]:
    """What to load into a replica for those who are served by it, and to drop of what nobody wants."""
    replica, adapted = one.seen.replica, one.seen.adapted
    if not one.ready or not adapted.room:
        return []
    wanted = mine.get(replica.spec, frozenset()) if not lacks_room(one, rooms) else frozenset()
    loads = wanted - adapted.loaded - adapted.busy - adapted.refused.keys()
    drops = adapted.loaded - everybody.get(replica.spec, frozenset()) - adapted.busy
    return [*(Load(replica, name) for name in sorted(loads)), *(Unload(replica, name) for name in sorted(drops))]


def lacks_room(one: Step, rooms: Rooms) -> bool:
    """Whether a replica serves that has less room for adapters than it is to have."""
    return one.ready and one.seen.adapted.room < rooms.get(one.seen.replica.spec, 0)
