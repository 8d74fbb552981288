"""A gate with readings set by hand, and a keeper of replicas that notes what is asked of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from penstock.domain.scaling_room import Part
from penstock.ports.capacity import Reading
from penstock.ports.expansion import Outlook


class FakeCapacity:
    """See `penstock.ports.capacity.Capacity`. `allotted` holds what was told, oldest first, `expected` the last."""

    def __init__(self, *readings: Reading) -> None:
        self._readings = {(one.endpoint_id, one.entity): one for one in readings}
        self.allotted: list[tuple[str, str, dict[str, float]]] = []
        self.expected: dict[tuple[str, str], tuple[float, float]] = {}

    def readings(self) -> Sequence[Reading]:
        """In the order of their names."""
        return [self._readings[key] for key in sorted(self._readings)]

    def allot(self, endpoint_id: str, entity: str, parts: Mapping[str, float]) -> None:
        """Shows in the next readings."""
        found = self._readings.get((endpoint_id, entity))
        if found is not None:
            self.allotted.append((endpoint_id, entity, dict(parts)))
            given = tuple(Part(one.device, one.floor, max(parts.get(one.device, 0), one.floor)) for one in found.parts)
            allotment = max(sum(one.allotted for one in given), found.minimum)
            self.set(replace(found, allotment=allotment, parts=given))

    def expect(self, endpoint_id: str, entity: str, ready_in_s: float, tokens_per_s: float) -> None:
        """Notes it."""
        self.expected[endpoint_id, entity] = (ready_in_s, tokens_per_s)

    def set(self, reading: Reading) -> None:
        """Puts a reading in place of the one before."""
        self._readings[reading.endpoint_id, reading.entity] = reading

    def remove(self, endpoint_id: str, entity: str) -> None:
        """The gate no longer knows it."""
        self._readings.pop((endpoint_id, entity), None)

    def offer(self, endpoint_id: str, entity: str, tokens: float, *, backlog: float | None = None) -> None:
        """Adds arrived tokens, and sets the backlog where given."""
        found = self._readings[endpoint_id, entity]
        waiting = found.backlog if backlog is None else backlog
        self.set(replace(found, arrived=found.arrived + tokens, backlog=waiting))


class FakeExpansion:
    """See `penstock.ports.expansion.Expansion`. `outlooks`, `wanted` and what starts `took` are by endpoint."""

    def __init__(self) -> None:
        self.outlooks: dict[str, Outlook] = {}
        self.wanted: dict[str, frozenset[str]] = {}
        self.took: dict[str, list[float]] = {}

    def outlook(self, endpoint_id: str, entity: str) -> Outlook | None:
        """As set."""
        assert entity
        return self.outlooks.get(endpoint_id)

    def want(self, endpoint_id: str, entity: str, devices: Iterable[str]) -> None:
        """Notes it."""
        assert entity
        self.wanted[endpoint_id] = frozenset(devices)

    def came(self, endpoint_id: str, entity: str, took_s: float) -> None:
        """Notes it."""
        assert entity
        self.took.setdefault(endpoint_id, []).append(took_s)
