"""What became of one request."""

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a request ended, as its caller sees it."""

    DONE = "done"
    """The whole answer came."""
    LEFT = "left"
    """The caller hung up on purpose, with all tokens it wanted."""
    REFUSED = "refused"
    """429: more was asked than could be served."""
    INVALID = "invalid"
    """Another 4xx: the request itself is wrong."""
    FAILED = "failed"
    """A 5xx, a broken stream, or no connection."""
    CUT = "cut"
    """The run ended before the answer did."""


@dataclass(frozen=True, slots=True)
class Row:
    """One attempt. Times are seconds since the run's origin; `first_at` is that of the first token, or None.

    `number` is the request's, the same for all `attempt`s (0 is the first). `due_at` is when it should have been
    sent: the client itself is late by `sent_at - due_at`. Tokens are those of the answer's usage, as far as it came;
    for refused and failed requests `tokens_in` is 0. `chunks` are (time, tokens so far), kept only on demand.
    `asked_in` and `asked_out` are the sizes that were wanted, known of refused requests too.
    """

    number: int
    attempt: int
    due_at: float
    sent_at: float
    first_at: float | None
    ended_at: float
    tokens_in: int
    tokens_out: int
    status: int
    outcome: Outcome
    retry_after: float | None = None
    message: str = ""
    chunks: tuple[tuple[float, int], ...] = ()
    asked_in: int = 0
    asked_out: int = 0

    @property
    def served(self) -> bool:
        """Whether the caller got what it wanted."""
        return self.outcome in (Outcome.DONE, Outcome.LEFT)

    @property
    def latency_s(self) -> float:
        """Seconds from sending to the end."""
        return self.ended_at - self.sent_at

    @property
    def ttft_s(self) -> float | None:
        """Seconds to the first token, if there was one."""
        return None if self.first_at is None else self.first_at - self.sent_at

    @property
    def tpot_s(self) -> float | None:
        """Seconds for each token after the first, if there was more than one."""
        if self.first_at is None or self.tokens_out < 2:  # noqa: PLR2004 - a gap needs two
            return None
        return (self.ended_at - self.first_at) / (self.tokens_out - 1)
