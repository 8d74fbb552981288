"""What retention has taken from the ledger, and the value of the chain that what is left begins with."""

from dataclasses import asdict, dataclass, replace
from enum import StrEnum

from penstock.domain.ledger_chain import Link
from penstock.domain.ledger_entry import digest


class Part(StrEnum):
    """Of the ledger."""

    REQUESTS = "requests"
    MINUTES = "minutes"
    HOURS = "hours"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Rows of `part` from before `until` are gone, or are going. Times are epoch milliseconds.

    `number` and `hash` are of the last row that is gone; of the last minute before `until`, where the requests are.
    `seal` is the SHA-256 of all else, empty until it is `sealed`.
    """

    part: Part
    until: int
    number: int
    hash: str
    made_at: int
    seal: str = ""

    @property
    def link(self) -> Link:
        """What the first row that is left is chained to."""
        return self.number, self.hash

    def sealed(self) -> "Checkpoint":
        """With its seal."""
        return replace(self, seal=digest(asdict(replace(self, seal=""))))
