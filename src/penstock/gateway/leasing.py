"""A gateway's side of limits that several gateways share: tells what was used, gives back, and leases for who waits."""

import logging
from collections.abc import Callable

from penstock.domain.errors import Temporary
from penstock.domain.rate_lease import LeasedWindow
from penstock.domain.rate_limit import Holding
from penstock.domain.rate_meter import Unit
from penstock.ports.clock import Clock
from penstock.ports.lease import Claim, Leases

PERIOD_S = 0.1
"""How often it is traded while anything is held; what somebody waits for is asked for at once."""
_log = logging.getLogger(__name__)


class Leasing:
    """Lives on one event loop, beside `Limits` and `Quotas`."""

    def __init__(self, leases: Leases, clock: Clock, lease_s: float) -> None:
        """What was leased may be reserved for `lease_s` seconds after the budget was last heard."""
        self._leases = leases
        self._clock = clock
        self._lease_s = lease_s
        self._windows: dict[str, LeasedWindow] = {}
        self._tells: list[Callable[[], None]] = []
        self._hint: Callable[[], None] = lambda: None
        self._reached = True

    def on_lease(self, tell: Callable[[], None]) -> None:
        """`tell` tries again for all who wait: those who find no room make known how much they need."""
        self._tells.append(tell)

    def on_need(self, hint: Callable[[], None]) -> None:
        """`hint` is called when somebody waits for budget: a trade should come now."""
        self._hint = hint

    def need(self) -> None:
        """Somebody waits."""
        self._hint()

    def window(self, endpoint: str, holding: Holding, unit: Unit, limit: int) -> LeasedWindow:
        """This gateway's part of a limit of the endpoint of that name: servers may have databases of their own."""
        kind, holder = holding.account
        key = f"{endpoint}:{kind}:{unit}:{holder}"
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = LeasedWindow(limit)
        return window

    async def step(self) -> str:
        """A loop's step: one trade of all that is known."""
        sent_at = self._clock.monotonic()
        for window in self._windows.values():
            window.total = 0
        self._try_again()
        claims: list[tuple[LeasedWindow, Claim]] = []
        for key, window in self._windows.items():
            # What is wished for is all that is waited for, and what is at hand beyond it is given back.
            want = window.wish(sent_at)
            last = not (want or window.held or window.recent(sent_at))
            claims.append(
                (window, Claim(key, window.limit, window.spent, window.recent(sent_at), window.held, want, last))
            )
        if not claims:
            return ""
        try:
            grants = await self._leases.trade([claim for _, claim in claims])
        except Temporary as error:
            return self._lost(error)
        for (window, claim), grant in zip(claims, grants, strict=True):
            window.reported = claim.spent
            window.granted(grant.granted, grant.left, grant.wait_s, sent_at + self._lease_s)
            if claim.last and window.idle(self._clock.monotonic()):
                self._windows.pop(claim.key).gone = True
        self._try_again()
        again, self._reached = not self._reached, True
        return "limits are shared again" if again else ""

    def _try_again(self) -> None:
        for tell in self._tells:
            tell()

    def _lost(self, error: Temporary) -> str:
        """What is leased is spent, and nothing more. What was asked for is asked for again."""
        if self._reached:
            _log.warning("%s Requests are served as far as budget is leased.", error.message)
        self._reached = False
        return ""
