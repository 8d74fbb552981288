"""Limits of calls and tokens per minute, on the path of a request: before its turn at the device is asked for.

Keeps the state and the time; `penstock.domain.rate_meter` decides. A request that finds no room waits for a moment if
there may be some by then, else it is told when. Hears of endpoints from the table.
"""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial

from penstock.domain.access import Principal
from penstock.domain.errors import InvalidParameter, LimitExceeded, PenstockError, PermissionDenied
from penstock.domain.rate_limit import Holding, RateLimit, applicable, most_tokens
from penstock.domain.rate_meter import RateMeter, Reservation, Shortage, Unit
from penstock.domain.routing import EndpointRoute
from penstock.domain.usage import Usage
from penstock.gateway.call import Asked
from penstock.gateway.count import Size
from penstock.gateway.leasing import Leasing
from penstock.gateway.line import Line
from penstock.ports.clock import Clock

MOST_KNOWN = 10_000
"""Callers of an endpoint of whom it is known what they come under."""
_NOBODY = nullcontext()
Headers = tuple[tuple[bytes, bytes], ...]
Choices = tuple[tuple[Holding, ...], ...]
_NAMES = {Unit.CALLS: b"requests", Unit.TOKENS: b"tokens"}
MARGIN, TEMPLATE = 1.1, 16
"""Prompts are counted by their characters: what a chat template adds is not in them, and some have shorter tokens."""
SHARE = 4
"""Answers whose request does not say their most get one part in so many of a limit, so that others find room beside."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How long and how many requests wait for room, and the tokens of an answer whose request does not say its most.

    External models may have another number of them.
    """

    wait_s: float = 2.0
    most_waiting: int = 256
    answer_tokens: int = 1024
    external_answer_tokens: int = 4000

    def answer(self, endpoint: EndpointRoute) -> int:
        """The tokens of an answer of this endpoint whose request does not say its most."""
        return self.external_answer_tokens if endpoint.is_external else self.answer_tokens


@dataclass(slots=True)
class Held:
    """What a request holds of its endpoint's limits.

    `prompt` is what its prompt was estimated at. An answer may have `most` tokens, None for what the request says.
    """

    clock: Clock
    place: "_Place"
    reservation: Reservation
    prompt: int
    most: int | None = None
    tokens: int = 0

    def stream(self, tokens: int) -> None:
        """So many more tokens, or so, have come."""
        self.tokens += tokens
        self.reservation.stream(self.tokens, self.clock.monotonic())

    def body(self, body: bytes) -> bytes:
        """The body with the most tokens that its answer may have, which come last and so win."""
        if self.most is None:
            return body
        return b'%s,"max_tokens":%d}' % (body.rstrip()[:-1], self.most)


@dataclass(slots=True)
class _Place:
    """An endpoint with limits. What callers come under is known after their first request."""

    limits: tuple[RateLimit, ...]
    meter: RateMeter
    line: Line[Reservation]
    known: dict[str, tuple[Principal, Choices]] = field(default_factory=dict)

    def limit(self, limits: tuple[RateLimit, ...]) -> None:
        """From now on these."""
        self.limits = limits
        self.known.clear()

    def choices(self, principal: Principal) -> Choices:
        """What a caller comes under. A principal that changed is another object."""
        known = self.known.get(principal.id)
        if known is not None and known[0] is principal:
            return known[1]
        if len(self.known) >= MOST_KNOWN:
            self.known.clear()
        choices = applicable(self.limits, principal)
        self.known[principal.id] = principal, choices
        return choices


class Limits:
    """Lives on one event loop. An endpoint without limits costs nothing: nobody asks."""

    def __init__(self, clock: Clock, terms: Terms | None = None, leasing: Leasing | None = None) -> None:
        """With `leasing`, limits are shared with other gateways."""
        self._clock = clock
        self._leasing = leasing
        if leasing is not None:
            leasing.on_lease(self._pump_all)
        self._terms = terms or Terms()
        self._places: dict[str, _Place] = {}

    def publish(self, endpoint: EndpointRoute) -> None:
        """Takes over an endpoint's limits, for those too that wait; what was used still counts."""
        place = self._places.get(endpoint.id)
        if place is None:
            if not endpoint.limits:
                return
            place = self._places[endpoint.id] = self._place(endpoint)
        place.limit(endpoint.limits)
        place.line.pump()

    def withdraw(self, endpoint_id: str) -> None:
        """The endpoint is gone."""
        place = self._places.pop(endpoint_id, None)
        if place is not None:
            place.limit(())
            place.line.pump()

    async def enter(
        self,
        endpoint: EndpointRoute,
        principal: Principal,
        asked: Asked,
        size: Size,
        aside: AbstractContextManager[object] = _NOBODY,
    ) -> Held:
        """Reserves a call and the most tokens that the request can use; waits a moment where there is no room.

        The wait is entered as the context `aside`, which may measure it.

        Raises:
            InvalidParameter: its prompt alone is longer than the limit.
            LimitExceeded: there is no room.
            PermissionDenied: the limit is 0.
        """
        place = self._places.get(endpoint.id)
        if place is None:
            place = self._places[endpoint.id] = self._place(endpoint)
        choices = place.choices(principal)
        prompt, most = self._fit(choices, asked, size, self._terms.answer(endpoint))
        answers = size.most_out if most is None else most * asked.choices
        if place.line:
            place.line.pump()
        got = place.meter.reserve(choices, prompt + answers, self._clock.monotonic())
        if isinstance(got, Shortage) and self._worth_it(place, got):
            with aside:
                got = await self._wait(place, principal, prompt + answers, got)
        if isinstance(got, Shortage):
            raise _refusal(got, endpoint.name)
        return Held(self._clock, place, got, prompt, most)

    def leave(self, held: Held, usage: Usage, *, sent: bool, whole: bool) -> None:
        """The request has ended and is settled. Safe to repeat.

        Where it was `sent` to be computed, was not refused or answered `whole`, and nobody says what it used, that is
        estimated by its prompt and by what came.
        """
        used = usage.prompt_tokens + usage.completion_tokens
        if sent and not whole and not used:
            used = held.prompt + held.tokens
        held.reservation.settle(used, self._clock.monotonic(), called=sent)
        held.place.line.pump()

    def headers(self, endpoint_id: str, principal: Principal) -> Headers:
        """What is left, in the headers that OpenAI's clients know; empty where nothing is limited."""
        place = self._places.get(endpoint_id)
        if place is None:
            return ()
        found: list[tuple[bytes, bytes]] = []
        for unit, left in place.meter.left(place.choices(principal), self._clock.monotonic()).items():
            found += [
                (b"x-ratelimit-limit-" + _NAMES[unit], b"%d" % left.limit),
                (b"x-ratelimit-remaining-" + _NAMES[unit], b"%d" % left.left),
                (b"x-ratelimit-reset-" + _NAMES[unit], b"%ds" % math.ceil(left.reset_s)),
            ]
        return tuple(found)

    async def step(self) -> str:
        """A loop's step: forgets what no longer counts."""
        now = self._clock.monotonic()
        for endpoint_id, place in list(self._places.items()):
            place.meter.forget(now)
            if not (place.limits or place.line or len(place.meter)):
                del self._places[endpoint_id]
        return ""

    def _place(self, endpoint: EndpointRoute) -> _Place:
        leasing = self._leasing
        window = partial(leasing.window, endpoint.name) if leasing is not None else None
        line = Line(self._clock, self._terms.wait_s, self._give_back)
        return _Place(endpoint.limits, RateMeter(window), line)

    def _fit(
        self, choices: Sequence[Sequence[Holding]], asked: Asked, size: Size, unsaid: int
    ) -> tuple[int, int | None]:
        """Tokens of the prompt, and the most of each answer if that is not what the request says."""
        prompt = size.tokens_in if asked.counted else int(size.tokens_in * MARGIN) + TEMPLATE
        limit = most_tokens(choices)
        if not limit:
            return prompt, None
        if prompt + bool(size.most_out) * asked.choices > limit:
            raise InvalidParameter(
                f"The prompt has about {prompt} tokens, and no request may use more than the limit of {limit} tokens "
                "per minute, with its answer."
            )
        if not size.most_out:
            return prompt, None
        share = max(limit // (SHARE * asked.choices), 1)
        wanted = min(unsaid, share) if asked.most_out is None else asked.most_out
        most = min(wanted, (limit - prompt) // asked.choices)
        return prompt, None if most == asked.most_out else most

    def _worth_it(self, place: _Place, short: Shortage) -> bool:
        """Whether to wait: there will be room by time, or there may be when an answer under way has ended."""
        soon = short.open or short.wait_s <= self._terms.wait_s
        return bool(short.limit) and soon and len(place.line) < self._terms.most_waiting

    async def _wait(self, place: _Place, principal: Principal, tokens: int, short: Shortage) -> Reservation | Shortage:
        if self._leasing is not None:
            self._leasing.need()
        return await place.line.wait(
            lambda: place.meter.reserve(place.choices(principal), tokens, self._clock.monotonic()), short
        )

    def _give_back(self, reservation: Reservation) -> None:
        reservation.settle(0, self._clock.monotonic(), called=False)

    def _pump_all(self) -> None:
        for place in self._places.values():
            place.line.pump()


def _refusal(short: Shortage, name: str) -> PenstockError:
    whose = short.holding.whose
    if not short.limit:
        return PermissionDenied(
            f"PERMISSION_DENIED: The endpoint is temporarily disabled due to a rate limit of 0 {short.unit} per minute "
            f"for {whose}."
        )
    wait_s = max(math.ceil(short.wait_s), 1)
    amount = f"{short.amount} more may be needed" if short.unit is Unit.TOKENS else "this is one more"
    return LimitExceeded(
        f"User defined rate limit(s) exceeded: {whose if whose != 'the endpoint' else 'everybody'} may have "
        f"{short.limit} {short.unit} per minute of endpoint '{name}', of which {short.taken} are used or reserved, and "
        f"{amount}; there will be room in {wait_s} s.",
        retry_after_s=wait_s,
        facts={
            "key": short.holding.limit.key.value,
            "principal": short.holding.holder,
            "unit": f"{short.unit}_per_minute",
            "limit": str(short.limit),
            "used": str(short.taken),
            "requested": str(short.amount),
            "retry_after_s": str(wait_s),
        },
    )
