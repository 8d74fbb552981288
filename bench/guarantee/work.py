"""Requests as reference tokens: what was offered by when, and what was done by when."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from penstock.domain.profile import CostModel
from penstock.load.row import Outcome, Row

Floats = NDArray[np.float64]
STEP_S = 0.1
NOT_DONE = frozenset({Outcome.REFUSED, Outcome.INVALID, Outcome.FAILED})


@dataclass(frozen=True, slots=True)
class Scale:
    """A model's cost and its T: a request of i in and o out is `T * seconds(i, o)` reference tokens.

    `stretch` is how much longer a prompt takes in company than alone (about the knee): its work is spread over so
    many times its own seconds before the first token, not over the time it waited. 0: over all the time since it was
    sent, as if waiting were work.
    """

    cost: CostModel
    throughput: float
    stretch: float = 0.0

    def tokens(self, tokens_in: float, tokens_out: float) -> float:
        """Reference tokens of a request."""
        return self.throughput * self.cost.seconds(tokens_in, tokens_out)

    def offered(self, row: Row) -> float:
        """Reference tokens that a request asked for; retries offer nothing new."""
        if row.attempt:
            return 0.0
        if row.served or not row.asked_in:
            return self.tokens(row.tokens_in, row.tokens_out)
        return self.tokens(row.asked_in, row.asked_out)

    def done(self, row: Row) -> float:
        """Reference tokens that a caller got: nothing of failed requests, the part so far of those cut at the end."""
        if row.outcome in NOT_DONE or not row.tokens_in:
            return 0.0
        return self.tokens(row.tokens_in, row.tokens_out)

    def done_by(self, row: Row, at: float) -> float:
        """Reference tokens that a caller had got by then."""
        times, work = self.path(row)
        return float(np.interp(at, times, work))

    def path(self, row: Row) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """Times and the work done by then: the prompt's until the first token, the answer's until the end."""
        whole = self.done(row)
        prompt = min(whole, self.tokens(row.tokens_in, 0)) if whole else 0.0
        first = row.ended_at if row.first_at is None else row.first_at
        begin = row.sent_at
        if self.stretch:
            begin = max(begin, first - self.stretch * prompt / self.throughput)
        return (begin, first, row.ended_at), (0.0, prompt, whole)


@dataclass(frozen=True, slots=True)
class Curve:
    """Cumulative reference tokens of one tenant at times `at`, in even steps: `offered` and `done`."""

    at: Floats
    offered: Floats
    done: Floats

    @property
    def backlog(self) -> Floats:
        """Offered and not yet done."""
        return self.offered - self.done


def curve(rows: Sequence[Row], scale: Scale, start: float, end: float, step_s: float = STEP_S) -> Curve:
    """The curve from `start` to `end`, both times of the rows; what came before is in its first values.

    Offered is what will have been served or could have been: refused and failed requests leave the backlog when they
    end, for nobody can serve them any more.
    """
    at = np.arange(start, end + step_s / 2, step_s)
    offered, done = np.zeros_like(at), np.zeros_like(at)
    for row in rows:
        times, work = scale.path(row)
        done += np.interp(at, times, work)
        asked = scale.offered(row)
        offered += np.where(at >= row.sent_at, asked, 0.0)
        lost = asked - work[-1] if row.outcome in NOT_DONE else 0.0
        offered -= np.where(at >= row.ended_at, lost, 0.0)
    return Curve(at, offered, done)
