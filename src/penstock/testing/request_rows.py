"""The request ledger in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from penstock.domain.usage import RequestRecord


@dataclass
class FakeRequestRows:
    """See `penstock.ports.request_rows.RequestRows`."""

    by_id: dict[str, RequestRecord] = field(default_factory=dict)

    async def add(self, records: Sequence[RequestRecord]) -> int:
        """Adds the records that are not there."""
        before = len(self.by_id)
        for record in records:
            self.by_id.setdefault(record.request_id, record)
        return len(self.by_id) - before

    async def in_ledger(self, after: tuple[int, str], *, limit: int = 1000) -> Sequence[RequestRecord]:
        """Records by (minute, request id)."""
        found = [record for record in self.by_id.values() if record.minute]
        ordered = sorted(found, key=lambda record: (record.minute, record.request_id))
        return [record for record in ordered if (record.minute, record.request_id) > after][:limit]

    async def longest_ms(self, up_to: float) -> float:
        """The longest duration."""
        return max((one.duration_ms for one in self.by_id.values() if one.duration_ms <= up_to), default=0.0)

    async def count(self) -> int:
        """How many the ledger counts."""
        return sum(1 for record in self.by_id.values() if record.minute)

    async def remove(self, until: int, *, limit: int) -> int:
        """Removes old records."""
        old = [record for record in self.by_id.values() if record.minute < until and record.received_at < until]
        taken = sorted(old, key=lambda record: (record.minute, record.request_id))[:limit]
        for record in taken:
            del self.by_id[record.request_id]
        return len(taken)

    async def get(self, request_id: str) -> RequestRecord | None:
        """One record."""
        return self.by_id.get(request_id)
