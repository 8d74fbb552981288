"""The write-ahead file of the request ledger: what is admitted and how it ended, before the database knows."""

from collections.abc import Sequence
from typing import Protocol

from penstock.domain.usage import RequestRecord


class Journal(Protocol):
    """Appends survive the death of the process (not of the machine); appending never waits for the disk."""

    def admitted(self, record: RequestRecord) -> None:
        """A request was accepted; `record` is how it stands in the ledger if nothing more is heard of it.

        Raises Temporary when no more can be kept: the request must be refused.
        """
        ...

    def ended(self, record: RequestRecord) -> None:
        """A request ended, admitted before or refused at once.

        Never raises. A refusal may go unrecorded while nothing more can be kept; what was admitted never does.
        """
        ...

    def take(self) -> Sequence[RequestRecord]:
        """Ended records that are not stored yet, oldest first; the same again until `stored` says otherwise."""
        ...

    @property
    def behind(self) -> int:
        """How many ended records are not stored yet."""
        ...

    @property
    def unwritten_bytes(self) -> int:
        """Bytes in memory that the disk has not taken."""
        ...

    def stored(self, count: int) -> None:
        """The first `count` records of the last `take` are in the database and may be forgotten."""
        ...

    def recover(self) -> Sequence[RequestRecord]:
        """At start, before all else: what an earlier process left unfinished, ended now as it was admitted.

        Afterwards `take` gives these and all others that were not stored; some that were may come again.
        """
        ...
