"""Rate limits, wired."""

from penstock.adapters.clock import SystemClock
from penstock.gateway.limits import Limits, Terms
from penstock.settings import Settings


def make_limits(settings: Settings) -> Limits:
    """Where requests are metered."""
    given = settings.limits
    return Limits(SystemClock(), Terms(given.wait_s, given.max_waiting, given.answer_tokens))
