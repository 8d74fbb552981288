"""The ledger's minutes and hours, as stored."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from penstock.domain.ledger_hour import LedgerHour
from penstock.domain.ledger_minute import Key, LedgerMinute, Promise


class LedgerRows(Protocol):
    """Rows of minutes and hours, which are never changed, and the promises of minutes that are not closed."""

    async def add_minutes(self, rows: Sequence[LedgerMinute]) -> None:
        """Adds rows; raises AlreadyExists if one has a number or a key that is there."""
        ...

    async def minutes(self, after: int, *, limit: int = 1000) -> Sequence[LedgerMinute]:
        """Rows by number, from the first that is greater than `after`."""
        ...

    async def between(self, since: int, until: int, endpoint: str = "") -> Sequence[LedgerMinute]:
        """Rows of minutes from `since` to before `until`, by number; those of one endpoint's id or name, if given."""
        ...

    async def last(self) -> LedgerMinute | None:
        """The row with the highest number."""
        ...

    async def count(self) -> int:
        """How many minutes there are."""
        ...

    async def add_hours(self, rows: Sequence[LedgerHour]) -> None:
        """Adds rows; raises AlreadyExists if one has a key that is there."""
        ...

    async def hours(self) -> Sequence[LedgerHour]:
        """All hours, by key."""
        ...

    async def last_hour(self) -> int:
        """The latest hour that has rows, epoch milliseconds; 0 if there is none."""
        ...

    async def promises(self) -> Mapping[Key, Promise]:
        """The promises of minutes that are not closed."""
        ...

    async def set_promises(self, promises: Mapping[Key, Promise]) -> None:
        """Keeps promises, over what was kept under their keys."""
        ...

    async def forget_promises(self, until: int) -> None:
        """Removes the promises of minutes before `until`."""
        ...
