"""What a row of the ledger sums over its time, be it a minute or an hour: what was promised, asked for and done."""

from dataclasses import dataclass
from typing import ClassVar

from penstock.domain.ledger_entry import MILLI, SECOND_MS


@dataclass(frozen=True, slots=True)
class Promise:
    """What a served entity held of its device during some time.

    `milli` is the allotment's sum over the time in thousandths of reference tokens, `peak` its highest value and
    `chunk` the size of a chunk, in tokens per second; `known_ms` is for how much of the time the allotment is known.
    """

    milli: int = 0
    peak: float = 0.0
    chunk: float = 0.0
    known_ms: int = 0

    def held(self, tokens_per_s: float, chunk: float, lasted_ms: int) -> "Promise":
        """With one more piece of the time."""
        return Promise(
            self.milli + round(tokens_per_s * lasted_ms),
            max(self.peak, float(tokens_per_s)),
            max(self.chunk, float(chunk)),
            self.known_ms + lasted_ms,
        )

    def __add__(self, other: "Promise") -> "Promise":
        """Of two pieces of time."""
        return Promise(
            self.milli + other.milli,
            max(self.peak, other.peak),
            max(self.chunk, other.chunk),
            self.known_ms + other.known_ms,
        )


@dataclass(frozen=True, slots=True)
class Totals:
    """What the request rows of a minute, or of an hour, add up to.

    `offered`, `admitted` and `attained` are in thousandths of reference tokens; `requests` and what follows count those
    that ended in it. `metered_...` are the tokens of requests that are paid by the token.
    """

    offered_milli: int = 0
    admitted_milli: int = 0
    attained_milli: int = 0
    requests: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    rejected: int = 0
    breaches: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    metered_prompt_tokens: int = 0
    metered_completion_tokens: int = 0

    def __add__(self, other: "Totals") -> "Totals":
        """The sum, field by field."""
        # Spelled out: this runs for every request, and a loop over names takes four times as long.
        return Totals(
            self.offered_milli + other.offered_milli,
            self.admitted_milli + other.admitted_milli,
            self.attained_milli + other.attained_milli,
            self.requests + other.requests,
            self.completed + other.completed,
            self.failed + other.failed,
            self.cancelled + other.cancelled,
            self.rejected + other.rejected,
            self.breaches + other.breaches,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.metered_prompt_tokens + other.metered_prompt_tokens,
            self.metered_completion_tokens + other.metered_completion_tokens,
        )


class Sums:
    """A row with a promise and totals over `LENGTH_MS`; rates are reference tokens per second over all of that."""

    __slots__ = ()
    LENGTH_MS: ClassVar[int]
    promise: Promise
    totals: Totals

    @property
    def promised(self) -> float:
        """What was promised."""
        return rate(self.promise.milli, self.LENGTH_MS)

    @property
    def offered(self) -> float:
        """What requests asked for, refused ones included."""
        return rate(self.totals.offered_milli, self.LENGTH_MS)

    @property
    def admitted(self) -> float:
        """What requests asked for that were not refused."""
        return rate(self.totals.admitted_milli, self.LENGTH_MS)

    @property
    def attained(self) -> float:
        """What was done."""
        return rate(self.totals.attained_milli, self.LENGTH_MS)


def rate(milli: int, length_ms: int) -> float:
    """Reference tokens per second, of thousandths in a time."""
    return milli * SECOND_MS / (MILLI * length_ms)
