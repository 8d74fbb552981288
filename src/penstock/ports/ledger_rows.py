"""The ledger's minutes and hours, as stored, and what retention has taken of the ledger."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from penstock.domain.ledger_checkpoint import Checkpoint, Part
from penstock.domain.ledger_hour import LedgerHour
from penstock.domain.ledger_minute import Key, LedgerMinute
from penstock.domain.ledger_sums import Promise


class LedgerRows(Protocol):
    """Rows of minutes and hours, and the promises of minutes that are not closed.

    Rows are never changed, and removed by retention only.
    """

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

    async def last_before(self, minute: int) -> LedgerMinute | None:
        """Of the rows of minutes before this one, that with the highest number."""
        ...

    async def endpoints(self) -> Mapping[str, str]:
        """The names of all endpoints of which there are minutes or hours, by id."""
        ...

    async def count(self) -> int:
        """How many minutes and hours there are."""
        ...

    async def add_hours(self, rows: Sequence[LedgerHour]) -> None:
        """Adds rows; raises AlreadyExists if one has a number or a key that is there."""
        ...

    async def hours(self, after: int, *, limit: int = 1000) -> Sequence[LedgerHour]:
        """Hours by number, from the first that is greater than `after`."""
        ...

    async def hours_between(self, since: int, until: int, endpoint: str = "") -> Sequence[LedgerHour]:
        """Hours from `since` to before `until`, by number; those of one endpoint's id or name, if given."""
        ...

    async def last_hour(self) -> LedgerHour | None:
        """The hour with the highest number."""
        ...

    async def last_hour_before(self, hour: int) -> LedgerHour | None:
        """Of the hours before this one, that with the highest number."""
        ...

    async def checkpoints(self) -> Mapping[Part, Checkpoint]:
        """What retention has taken: at most one for each part."""
        ...

    async def set_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Keeps it, in place of the one of its part."""
        ...

    async def remove(self, part: Part, number: int, *, limit: int) -> int:
        """Removes minutes or hours up to a number, the first of them, at most `limit`; returns how many."""
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
