"""A gate with readings set by hand."""

from collections.abc import Sequence
from dataclasses import replace

from penstock.ports.capacity import Reading


class FakeCapacity:
    """See `penstock.ports.capacity.Capacity`. `allotted` holds what was told, oldest first."""

    def __init__(self, *readings: Reading) -> None:
        self._readings = {(one.endpoint_id, one.entity): one for one in readings}
        self.allotted: list[tuple[str, str, float]] = []

    def readings(self) -> Sequence[Reading]:
        """In the order of their names."""
        return [self._readings[key] for key in sorted(self._readings)]

    def allot(self, endpoint_id: str, entity: str, tokens_per_s: float) -> None:
        """Shows in the next readings."""
        found = self._readings.get((endpoint_id, entity))
        if found is not None:
            self.allotted.append((endpoint_id, entity, tokens_per_s))
            self.set(replace(found, allotment=tokens_per_s))

    def set(self, reading: Reading) -> None:
        """Puts a reading in place of the one before."""
        self._readings[(reading.endpoint_id, reading.entity)] = reading

    def remove(self, endpoint_id: str, entity: str) -> None:
        """The gate no longer knows it."""
        self._readings.pop((endpoint_id, entity), None)

    def offer(self, endpoint_id: str, entity: str, tokens: float, *, backlog: float | None = None) -> None:
        """Adds arrived tokens, and sets the backlog where given."""
        found = self._readings[(endpoint_id, entity)]
        waiting = found.backlog if backlog is None else backlog
        self.set(replace(found, arrived=found.arrived + tokens, backlog=waiting))
