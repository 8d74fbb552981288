"""What a workspace may use of models that are paid by the token, on the path of a request.

Calls and input tokens are one reservation, output tokens another: the most that an answer may have is reserved when the
request comes, and what it did not use is given back when it has ended. Whoever finds no room is told at once when there
will be some; only what is to be leased first is waited for, where gateways share their limits.
"""

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial

from penstock.domain.errors import InvalidParameter, LimitExceeded
from penstock.domain.quota import Quota
from penstock.domain.rate_limit import Holding, RateLimit
from penstock.domain.rate_meter import RateMeter, Reservation, Shortage, Unit
from penstock.domain.usage import Usage
from penstock.gateway.call import Asked
from penstock.gateway.count import Size
from penstock.gateway.leasing import Leasing
from penstock.gateway.limits import MARGIN, TEMPLATE, Terms
from penstock.gateway.line import Line
from penstock.ports.clock import Clock

CALLS, INPUT, OUTPUT = "queries", "input tokens", "output tokens"
_NOBODY = nullcontext()
_Share = tuple[Reservation, Reservation | None]
"""Of calls and input tokens, and of output tokens if any are to come."""


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
    """The counts of one endpoint; shared with other gateways by `leasing`, if there is one."""

    def __init__(self, name: str, quota: Quota, leasing: Leasing | None) -> None:
        self.quota = quota
        self._given, self._answers = (
            RateMeter(None if leasing is None else partial(leasing.window, f"{name}:{part}"))
            for part in ("input", "output")
        )
        self._inward = ((Holding(RateLimit(calls=quota.calls, tokens=quota.input_tokens)),),)
        self._outward = ((Holding(RateLimit(tokens=quota.output_tokens)),),)

    def take(self, prompt: int, most: int, now: float) -> _Share | Shortage:
        """Reserves all or nothing; what is there meanwhile stays there for who waits for the rest."""
        given = self._given.reserve(self._inward, prompt, now)
        answer = self._answers.reserve(self._outward, most, now) if most else None
        if isinstance(given, Shortage):
            if isinstance(answer, Reservation):
                answer.settle(0, now, called=False)
                self._answers.want(self._outward, most, now)
            return given
        if isinstance(answer, Shortage):
            given.settle(0, now, called=False)
            self._given.want(self._inward, prompt, now)
            return answer
        return given, answer

    def what(self, short: Shortage) -> str:
        """What there is too little of."""
        if short.unit is Unit.CALLS:
            return CALLS
        return INPUT if short.holding is self._inward[0][0] else OUTPUT


class Quotas:
    """Lives on one event loop. `quotas` are by the name of an endpoint; others are not limited here.

    An answer whose request does not say its most is taken to have `terms.answer_tokens` at most; more than that counts
    too. With `leasing`, quotas are shared with other gateways.
    """

    def __init__(
        self,
        clock: Clock,
        quotas: Mapping[str, Quota] | None = None,
        terms: Terms | None = None,
        leasing: Leasing | None = None,
    ) -> None:
        self._clock = clock
        self._terms = terms or Terms()
        self._leasing = leasing
        self._line: Line[_Share] = Line(clock, self._terms.wait_s, self._give_back)
        if leasing is not None:
            leasing.on_lease(self._line.pump)
        self._places = {name: _Place(name, quota, leasing) for name, quota in (quotas or {}).items()}

    async def enter(
        self, endpoint: str, asked: Asked, size: Size, aside: AbstractContextManager[object] = _NOBODY
    ) -> Taken | None:
        """Reserves a call, the prompt and the most that the answer may have; None for an endpoint without a quota.

        What is to be leased for that is waited for within the context `aside`, which may measure it.

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
        most = self._most(asked, size, place.quota)
        got = await self._take(place, prompt, most, aside)
        if isinstance(got, Shortage):
            raise _refusal(got, place.what(got), endpoint)
        return Taken(self._clock, *got, prompt)

    async def _take(
        self, place: _Place, prompt: int, most: int, aside: AbstractContextManager[object]
    ) -> _Share | Shortage:
        def attempt() -> _Share | Shortage:
            return place.take(prompt, most, self._clock.monotonic())

        if self._line:
            self._line.pump()
        got = attempt()
        if self._leasing is None or not isinstance(got, Shortage):
            return got
        if got.wait_s > self._terms.wait_s or len(self._line) >= self._terms.most_waiting:
            return got
        self._leasing.need()
        with aside:
            return await self._line.wait(attempt, got)

    def _give_back(self, share: _Share) -> None:
        now = self._clock.monotonic()
        for one in share:
            if one is not None:
                one.settle(0, now, called=False)

    def _most(self, asked: Asked, size: Size, quota: Quota) -> int:
        """Output tokens to reserve: never more than there are, so that who asks for more than a minute's is served."""
        if not size.most_out:
            return 0
        most = self._terms.answer_tokens * asked.choices if asked.most_out is None else size.most_out
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
        if self._line:
            self._line.pump()


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
