"""Changes of allotments in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from penstock.domain.scaling_record import ScalingRecord


@dataclass
class FakeScalingRows:
    """See `penstock.ports.scaling_rows.ScalingRows`."""

    by_key: dict[tuple[str, str, int], ScalingRecord] = field(default_factory=dict)

    async def add(self, records: Sequence[ScalingRecord]) -> None:
        """Adds the changes that are not there."""
        for record in records:
            self.by_key.setdefault((record.endpoint_id, record.entity, record.at), record)

    async def of(self, endpoint_id: str, *, limit: int = 100) -> Sequence[ScalingRecord]:
        """The newest changes."""
        found = [record for record in self.by_key.values() if record.endpoint_id == endpoint_id]
        return sorted(found, key=lambda record: (-record.at, record.entity))[:limit]

    async def sweep(self, before: int) -> int:
        """Forgets old changes."""
        old = [key for key, record in self.by_key.items() if record.at < before]
        for key in old:
            del self.by_key[key]
        return len(old)
