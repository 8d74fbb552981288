"""What an engine has done between two moments, from what its clients saw: prompts answered and tokens given.

Whole requests need not end within a window for it to be counted, so a short one says as much as its length permits.
Windows begin and end when a first token comes: an engine computes prompts one after the other, so then none is half
computed, and what each request has got of its answer is known to the token.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from penstock.domain.profile import CostModel, terms

SAME_STEP_S = 0.002
"""First tokens that follow each other faster come from one step of the engine."""


@dataclass(slots=True)
class Course:
    """One request: when it was sent, and how many tokens of its answer there were at which moment, in order."""

    tokens_in: int
    sent_s: float
    moments: list[float] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    def tell(self, now: float, tokens: int) -> None:
        """So many tokens have come by now."""
        self.moments.append(now)
        self.counts.append(tokens)

    @property
    def first_s(self) -> float | None:
        """When the first token came."""
        return self.moments[0] if self.moments else None

    def given(self, moment: float) -> int:
        """Tokens of the answer by then."""
        index = bisect_right(self.moments, moment)
        return self.counts[index - 1] if index else 0


@dataclass(frozen=True, slots=True)
class Effort:
    """The sums of a cost model's terms over what was done (`requests`, input tokens, their squares, ...)."""

    requests: float
    tokens_in: float
    squares_in: float
    tokens_out: float
    context: float

    @property
    def terms(self) -> tuple[float, float, float, float, float]:
        """In the order of `CostModel.coefficients`."""
        return (self.requests, self.tokens_in, self.squares_in, self.tokens_out, self.context)

    def seconds(self, cost: CostModel) -> float:
        """What that takes by a cost model."""
        return sum(x * y for x, y in zip(cost.coefficients, self.terms, strict=True))


def whole(tokens_in: int, tokens_out: int, count: float = 1.0) -> Effort:
    """The effort of so many whole requests of a shape."""
    return Effort(*(count * term for term in terms(tokens_in, tokens_out)))


def edges(courses: Sequence[Course], since: float) -> list[float]:
    """The moments from `since` on at which a window may begin or end: the first tokens, one for each step."""
    moments = sorted(one.first_s for one in courses if one.first_s is not None)
    if not moments:
        return []
    # Where requests are shorter than that, they all have steps of their own.
    same_s = min(SAME_STEP_S, (moments[-1] - moments[0]) / len(moments) / 4)
    before = [float("-inf"), *moments]
    return [at for at, last in zip(moments, before, strict=False) if at >= since and at - last > same_s]


def effort(courses: Sequence[Course], begin: float, end: float) -> Effort:
    """What was done after one edge until another: prompts whose first token came, and what came of the answers."""
    sums = [0.0] * 5
    for one in courses:
        if one.first_s is None:
            continue
        before, after = one.given(begin), one.given(end)
        # A prompt's terms and those of the answer's part, which has the prompt and what was given before as context.
        done = terms(one.tokens_in, after)[:3] if begin < one.first_s <= end else (0.0, 0.0, 0.0)
        out = after - before
        for index, value in enumerate((*done, out, out * (one.tokens_in + (before + after) / 2))):
            sums[index] += value
    return Effort(*sums)
