"""Rate limits, wired."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from penstock.adapters.limits.redis import RedisLeases
from penstock.control.loop import Loop
from penstock.domain.rate_window import WINDOW_S
from penstock.gateway.leasing import PERIOD_S, Leasing
from penstock.gateway.limits import Limits, Terms
from penstock.ports.clock import Clock
from penstock.settings import Settings

FORGET_S = 30.0
"""How often it is looked for accounts in which nothing counts any more."""


@dataclass(frozen=True, slots=True)
class LimitParts:
    """Where requests are metered, by what terms, with whom it is shared, and the loops that go with it."""

    limits: Limits
    terms: Terms
    leasing: Leasing | None
    loops: tuple[Loop, ...]


def make_limits(settings: Settings, clock: Clock, stack: AsyncExitStack) -> LimitParts:
    """Limits of this server alone, or shared through Redis; raises PenstockError if its library is missing."""
    given = settings.limits
    terms = Terms(given.wait_s, given.max_waiting, given.answer_tokens, given.external_answer_tokens)
    if given.redis_url is None:
        limits = Limits(clock, terms)
        return LimitParts(limits, terms, None, (Loop("rate limits", limits.step, clock, period_s=FORGET_S),))
    # A gateway that is not heard may use what it has leased until the last request that reserved some of it has ended.
    life_s = given.lease_s + settings.gateway.request_timeout_s + WINDOW_S
    leases = RedisLeases(given.redis_url.get_secret_value(), life_s)
    stack.push_async_callback(leases.close)
    leasing = Leasing(leases, clock, given.lease_s)
    limits = Limits(clock, terms, leasing)
    trading = Loop("shared rate limits", leasing.step, clock, period_s=PERIOD_S)
    leasing.on_need(trading.hint)
    loops = (Loop("rate limits", limits.step, clock, period_s=FORGET_S), trading)
    return LimitParts(limits, terms, leasing, loops)
