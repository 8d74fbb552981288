"""What a workspace may use of models that are paid by the token, on the path of a request.

Calls and input tokens are one reservation, output tokens another: the most that an answer may have is reserved when the
request comes, and what it did not use is given back when it has ended. Whoever finds no room is told at once when there
will be some. Counted for this server alone.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from penstock.domain.errors import InvalidParameter, LimitExceeded
from penstock.domain.quota import Quota
from penstock.domain.rate_limit import Holding, RateLimit
from penstock.domain.rate_meter import RateMeter, Reservation, Shortage, Unit
from penstock.domain.usage import Usage
from penstock.gateway.call import Asked
from penstock.gateway.count import Size
from penstock.gateway.limits import MARGIN, TEMPLATE
from penstock.ports.clock import Clock

CALLS, INPUT, OUTPUT = "queries", "input tokens", "output tokens"


@dataclass(slots=True)
class Taken:
    """What a request holds. `prompt` is what its prompt was estimated at, `tokens` what has come of its answer."""

    clock: Clock
    given: Reservation
    answer: Reservation | None
    prompt: int
    tokens: int = 0

    def stream(self, tokens: int) -> None:
        """So many more tokens, or so, have come."""
        self.tokens += tokens
        if self.answer is not None:
            self.answer.stream(self.tokens, self.clock.monotonic())


class _Place:
    """The counts of one endpoint."""

    def __init__(self, quota: Quota) -> None:
        self.quota = quota
        self.given, self.answers = RateMeter(), RateMeter()
        self.inward = ((Holding(RateLimit(calls=quota.calls, tokens=quota.input_tokens)),),)
        self.outward = ((Holding(RateLimit(tokens=quota.output_tokens)),),)


class Quotas:
    """Lives on one event loop. `quotas` are by the name of an endpoint; others are not limited here.

    An answer whose request does not say its most is taken to have `answer_tokens` at most; more than that counts too.
    """

    def __init__(self, clock: Clock, quotas: Mapping[str, Quota] | None = None, *, answer_tokens: int = 1024) -> None:
        self._clock = clock
        self._answer_tokens = answer_tokens
        self._places = {name: _Place(quota) for name, quota in (quotas or {}).items()}

    def enter(self, endpoint: str, asked: Asked, size: Size) -> Taken | None:
        """Reserves a call, the prompt and the most that the answer may have; None for an endpoint without a quota.

        Raises:
            InvalidParameter: the prompt alone is longer than what is allowed in a minute.
            LimitExceeded: there is no room.
        """
        place = self._places.get(endpoint)
        if place is None:
            return None
        prompt = size.tokens_in if asked.counted else int(size.tokens_in * MARGIN) + TEMPLATE
        if prompt > place.quota.input_tokens:
            raise InvalidParameter(
                f"The prompt has about {prompt} tokens, and '{endpoint}' takes {place.quota.input_tokens} input tokens "
                "per minute."
            )
        now = self._clock.monotonic()
        given = place.given.reserve(place.inward, prompt, now)
        if isinstance(given, Shortage):
            raise _refusal(given, CALLS if given.unit is Unit.CALLS else INPUT, endpoint)
        most = self._most(asked, size, place.quota)
        answer = place.answers.reserve(place.outward, most, now) if most else None
        if isinstance(answer, Shortage):
            given.settle(0, now, called=False)
            raise _refusal(answer, OUTPUT, endpoint)
        return Taken(self._clock, given, answer, prompt)

    def _most(self, asked: Asked, size: Size, quota: Quota) -> int:
        """Output tokens to reserve: never more than there are, so that who asks for more than a minute's is served."""
        if not size.most_out:
            return 0
        most = self._answer_tokens * asked.choices if asked.most_out is None else size.most_out
        return min(most, quota.output_tokens)

    def leave(self, taken: Taken, usage: Usage, *, sent: bool, whole: bool) -> None:
        """The request has ended and is settled. Safe to repeat.

        Where it was `sent` to be computed, was not refused or answered `whole`, and nobody says what it used, that is
        estimated by its prompt and by what came.
        """
        given, answers = usage.prompt_tokens, usage.completion_tokens
        if sent and not whole and not given + answers:
            given, answers = taken.prompt, taken.tokens
        now = self._clock.monotonic()
        taken.given.settle(given, now, called=sent)
        if taken.answer is not None:
            taken.answer.settle(answers, now, called=sent)


def _refusal(short: Shortage, what: str, endpoint: str) -> LimitExceeded:
    wait_s = max(math.ceil(short.wait_s), 1)
    return LimitExceeded(
        f"REQUEST_LIMIT_EXCEEDED: Exceeded workspace {what} per minute rate limit for {endpoint}. The limit is "
        f"{short.limit}, of which {short.taken} are used or reserved, and {short.amount} more may be needed; there "
        f"will be room in {wait_s} s.",
        retry_after_s=wait_s,
        facts={
            "key": "workspace",
            "principal": "",
            "unit": f"{what.replace(' ', '_')}_per_minute",
            "limit": str(short.limit),
            "used": str(short.taken),
            "requested": str(short.amount),
            "retry_after_s": str(wait_s),
        },
    )
