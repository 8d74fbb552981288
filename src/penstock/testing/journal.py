"""The request journal in memory."""

from collections.abc import Sequence

from penstock.domain.errors import Temporary
from penstock.domain.usage import RequestRecord


class FakeJournal:
    """See `penstock.ports.journal.Journal`. `began` and `records` have all that was ever written.

    While it is `full`, nothing is admitted.
    """

    def __init__(self) -> None:
        self.began: list[RequestRecord] = []
        self.records: list[RequestRecord] = []
        self.full = False
        self._stored = 0

    def admitted(self, record: RequestRecord) -> None:
        """Notes it."""
        if self.full:
            raise Temporary("The request ledger cannot be written.", 5)
        self.began.append(record)

    def ended(self, record: RequestRecord) -> None:
        """Notes it."""
        self.records.append(record)

    @property
    def behind(self) -> int:
        """What is not stored."""
        return len(self.records) - self._stored

    @property
    def unwritten_bytes(self) -> int:
        """Memory takes everything."""
        return 0

    def take(self) -> Sequence[RequestRecord]:
        """All that is not stored."""
        return self.records[self._stored :]

    def stored(self, count: int) -> None:
        """Moves on."""
        self._stored += count

    def recover(self) -> Sequence[RequestRecord]:
        """There was no earlier process."""
        return []
