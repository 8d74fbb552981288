"""The ledger's minutes and hours in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from penstock.domain.errors import AlreadyExists
from penstock.domain.ledger_checkpoint import Checkpoint, Part
from penstock.domain.ledger_hour import HourKey, LedgerHour
from penstock.domain.ledger_minute import Key, LedgerMinute
from penstock.domain.ledger_sums import Promise


@dataclass
class FakeLedgerRows:
    """See `penstock.ports.ledger_rows.LedgerRows`."""

    by_number: dict[int, LedgerMinute] = field(default_factory=dict)
    by_hour: dict[HourKey, LedgerHour] = field(default_factory=dict)
    promised: dict[Key, Promise] = field(default_factory=dict)
    taken: dict[Part, Checkpoint] = field(default_factory=dict)

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

    async def last_before(self, minute: int) -> LedgerMinute | None:
        """The last row before a minute."""
        before = [number for number, row in self.by_number.items() if row.key.minute < minute]
        return self.by_number[max(before)] if before else None

    async def endpoints(self) -> Mapping[str, str]:
        """Names by id."""
        of_hours = {row.key.endpoint_id: row.endpoint_name for row in self.by_hour.values()}
        return of_hours | {row.key.endpoint_id: row.endpoint_name for row in self.by_number.values()}

    async def count(self) -> int:
        """How many minutes and hours there are."""
        return len(self.by_number) + len(self.by_hour)

    async def add_hours(self, rows: Sequence[LedgerHour]) -> None:
        """Adds rows."""
        numbers = {row.number for row in self.by_hour.values()}
        if any(row.key in self.by_hour or row.number in numbers for row in rows):
            raise AlreadyExists("An hour of the ledger is there already.")
        self.by_hour.update({row.key: row for row in rows})

    async def hours(self, after: int, *, limit: int = 1000) -> Sequence[LedgerHour]:
        """Hours by number."""
        return [row for row in self._hours() if row.number > after][:limit]

    async def hours_between(self, since: int, until: int, endpoint: str = "") -> Sequence[LedgerHour]:
        """Hours by time and endpoint."""
        found = [row for row in self._hours() if since <= row.key.hour < until]
        return [row for row in found if endpoint in {"", row.key.endpoint_id, row.endpoint_name}]

    async def last_hour(self) -> LedgerHour | None:
        """The hour with the highest number."""
        return self._hours()[-1] if self.by_hour else None

    async def last_hour_before(self, hour: int) -> LedgerHour | None:
        """The last one before an hour."""
        before = [row for row in self._hours() if row.key.hour < hour]
        return before[-1] if before else None

    def _hours(self) -> list[LedgerHour]:
        return sorted(self.by_hour.values(), key=lambda row: row.number)

    async def checkpoints(self) -> Mapping[Part, Checkpoint]:
        """What retention has taken."""
        return dict(self.taken)

    async def set_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Keeps it."""
        self.taken[checkpoint.part] = checkpoint

    async def remove(self, part: Part, number: int, *, limit: int) -> int:
        """Removes minutes or hours."""
        if part is Part.MINUTES:
            minutes = sorted(one for one in self.by_number if one <= number)[:limit]
            for one in minutes:
                del self.by_number[one]
            return len(minutes)
        hours = [row.key for row in self._hours() if row.number <= number][:limit]
        for key in hours:
            del self.by_hour[key]
        return len(hours)

    async def promises(self) -> Mapping[Key, Promise]:
        """Promises of open minutes."""
        return dict(self.promised)

    async def set_promises(self, promises: Mapping[Key, Promise]) -> None:
        """Keeps promises."""
        self.promised.update(promises)

    async def forget_promises(self, until: int) -> None:
        """Removes those before `until`."""
        self.promised = {key: promise for key, promise in self.promised.items() if key.minute >= until}
