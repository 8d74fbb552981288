"""The ledger's minutes and hours in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from penstock.domain.errors import AlreadyExists
from penstock.domain.ledger_hour import HourKey, LedgerHour
from penstock.domain.ledger_minute import Key, LedgerMinute, Promise


@dataclass
class FakeLedgerRows:
    """See `penstock.ports.ledger_rows.LedgerRows`."""

    by_number: dict[int, LedgerMinute] = field(default_factory=dict)
    by_hour: dict[HourKey, LedgerHour] = field(default_factory=dict)
    promised: dict[Key, Promise] = field(default_factory=dict)

    async def add_minutes(self, rows: Sequence[LedgerMinute]) -> None:
        """Adds rows."""
        numbers, keys = {*self.by_number}, {row.key for row in self.by_number.values()}
        for row in rows:
            if row.number in numbers or row.key in keys:
                raise AlreadyExists("A minute of the ledger is there already.")
            numbers.add(row.number)
            keys.add(row.key)
        self.by_number.update({row.number: row for row in rows})

    async def minutes(self, after: int, *, limit: int = 1000) -> Sequence[LedgerMinute]:
        """Rows by number."""
        return [row for number, row in sorted(self.by_number.items()) if number > after][:limit]

    async def between(self, since: int, until: int, endpoint: str = "") -> Sequence[LedgerMinute]:
        """Rows by time and endpoint."""
        found = [row for _, row in sorted(self.by_number.items()) if since <= row.key.minute < until]
        return [row for row in found if endpoint in {"", row.key.endpoint_id, row.endpoint_name}]

    async def last(self) -> LedgerMinute | None:
        """The row with the highest number."""
        return self.by_number[max(self.by_number)] if self.by_number else None

    async def count(self) -> int:
        """How many minutes there are."""
        return len(self.by_number)

    async def add_hours(self, rows: Sequence[LedgerHour]) -> None:
        """Adds rows."""
        if any(row.key in self.by_hour for row in rows):
            raise AlreadyExists("An hour of the ledger is there already.")
        self.by_hour.update({row.key: row for row in rows})

    async def hours(self) -> Sequence[LedgerHour]:
        """All hours."""
        return [row for _, row in sorted(self.by_hour.items())]

    async def last_hour(self) -> int:
        """The latest hour."""
        return max((key.hour for key in self.by_hour), default=0)

    async def promises(self) -> Mapping[Key, Promise]:
        """Promises of open minutes."""
        return dict(self.promised)

    async def set_promises(self, promises: Mapping[Key, Promise]) -> None:
        """Keeps promises."""
        self.promised.update(promises)

    async def forget_promises(self, until: int) -> None:
        """Removes those before `until`."""
        self.promised = {key: promise for key, promise in self.promised.items() if key.minute >= until}
