"""How much room for LoRA adapters engines have, by what they run: what their throughput is sold by.

In memory: engines end with this server.
"""

from collections.abc import Iterable, Mapping

from penstock.domain.endpoint import Config
from penstock.ports.store import Store, Unit

Ranks = Mapping[str, int]
"""Ranks of adapters by their names."""


class Rooms:
    """The adapters that endpoints have a right to, by spec, and the room of engines that were started with more."""

    def __init__(self) -> None:
        self._held: dict[str, dict[str, dict[str, int]]] = {}
        self._least: dict[str, int] = {}

    def hold(self, endpoint_id: str, found: dict[str, dict[str, int]]) -> None:
        """From now on the endpoint has these, by spec."""
        self._held[endpoint_id] = found

    def drop(self, endpoint_id: str) -> None:
        """The endpoint is gone. Safe to repeat."""
        self._held.pop(endpoint_id, None)

    def has(self, endpoint_id: str, spec: str, adapters: Iterable[str]) -> bool:
        """Whether the endpoint has those."""
        return self._held.get(endpoint_id, {}).get(spec, {}).keys() >= set(adapters)

    def ranks(self, spec: str) -> Ranks:
        """The adapters of all endpoints; each is loaded once, whoever has it."""
        return {name: rank for held in self._held.values() for name, rank in held.get(spec, {}).items()}

    def adapters(self) -> dict[str, frozenset[str]]:
        """Names of adapters by the spec of what they run on."""
        specs = {spec for held in self._held.values() for spec in held}
        return {spec: frozenset(self.ranks(spec)) for spec in specs}

    def see(self, spec: str, room: int) -> None:
        """An engine runs that has so much: it is sold as such, and so are those that come after it."""
        if room > self._least.get(spec, 0):
            self._least[spec] = room

    def least(self, spec: str) -> int:
        """What its engines have at least, as far as they were seen."""
        return self._least.get(spec, 0)

    def keep(self, specs: Iterable[str]) -> None:
        """Of other specs no engine runs, nor will soon."""
        known = set(specs)
        self._least = {spec: room for spec, room in self._least.items() if spec in known}


async def ranks_of(unit: Unit, *configs: Config | None) -> dict[str, dict[str, int]]:
    """Of the adapters that configurations have, by spec; of those that are gone, none."""
    found: dict[str, dict[str, int]] = {}
    for entity in (entity for config in configs if config is not None for entity in config.entities):
        if not entity.adapter:
            continue
        version = await unit.catalog.version(entity.entity_name, int(entity.entity_version))
        if version is not None and version.facts is not None and version.facts.adapter is not None:
            found.setdefault(entity.spec, {})[entity.adapter] = version.facts.adapter.rank
    return found


async def recall(store: Store, rooms: Rooms) -> None:
    """At start: endpoints have a right to the adapters of what they serve."""
    async with store.unit() as unit:
        for endpoint in await unit.endpoints.list():
            rooms.hold(endpoint.id, await ranks_of(unit, endpoint.active))
