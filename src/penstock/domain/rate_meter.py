"""The meter of one endpoint's limits: reserve, stream, settle. Pure: time is given.

A request reserves a call and the most tokens that it can use with every limit that it comes under, all or nothing. The
call is used at once. Tokens are used as they come, and what is left over is freed when the request is settled, with
what it really used. Nothing is reserved where there is no room, hence:

    used in any 60 seconds  <=  limit + what requests used beyond their reservations

A request goes beyond its reservation by as much as its prompt was longer than was estimated. What it used then counts
all the same, and keeps others out until it has aged.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from penstock.domain.rate_limit import Holding
from penstock.domain.rate_window import SLOT_S, Window

LAG = 8
"""Tokens that are held back while an answer streams: some of its events have none."""


class Unit(StrEnum):
    """What is counted."""

    CALLS = "calls"
    TOKENS = "tokens"


@dataclass(frozen=True, slots=True)
class Shortage:
    """Why there is no room: this limit has `taken` of `limit` used or reserved, and `amount` more was asked for.

    There is room in `wait_s` seconds at the latest if nothing else comes; sooner if an answer under way uses less than
    it has reserved, of which there are some if `open`.
    """

    holding: Holding
    unit: Unit
    limit: int
    taken: int
    amount: int
    wait_s: float
    open: bool


@dataclass(frozen=True, slots=True)
class Left:
    """The narrowest limit of a unit: its value, what is left of it, and seconds until all of it is there again."""

    limit: int
    left: int
    reset_s: float


@dataclass(slots=True)
class Account:
    """What is counted for one holder, by unit."""

    windows: dict[Unit, Window] = field(default_factory=dict)


class Reservation:
    """One request's share of the limits that it comes under. Settled once; later calls change nothing."""

    __slots__ = ("_calls", "_tokens", "at", "last", "last_at", "settled", "tokens", "used")

    def __init__(self, calls: tuple[Window, ...], tokens: tuple[Window, ...], amount: int, now: float) -> None:
        self._calls = calls
        self._tokens = tokens
        self.at = now
        self.tokens = amount
        self.used = 0
        self.last = 0
        self.last_at = now
        self.settled = False
        for window in calls:
            window.reserve(1)
            window.use(1, now)
        for window in tokens:
            window.reserve(amount)

    def stream(self, tokens: int, now: float) -> None:
        """So many tokens of the answer have come until now."""
        more = tokens - LAG - self.used
        if more > 0 and not self.settled:
            self._use(more, now)

    def settle(self, tokens: int, now: float, *, called: bool = True) -> None:
        """The request has ended and used so many tokens in all; without `called` it was never sent anywhere."""
        if self.settled:
            return
        more = tokens - self.used
        if more > 0:
            self._use(more, now)
        self.settled = True
        rest = max(self.tokens - self.used, 0)
        back = min(-more, self.last) if more < 0 else 0
        for window in self._tokens:
            window.free(rest)
            if back:
                window.undo(back, self.last_at, now)
        if not called:
            for window in self._calls:
                window.undo(1, self.at, now)

    def _use(self, amount: int, now: float) -> None:
        reserved = min(amount, max(self.tokens - self.used, 0))
        for window in self._tokens:
            if reserved:
                window.use(reserved, now)
            if amount > reserved:
                window.add(amount - reserved, now)
        self.last = amount + (self.last if now // SLOT_S == self.last_at // SLOT_S else 0)
        self.last_at = now
        self.used += amount


class RateMeter:
    """The accounts of one endpoint. `window` makes an account's count of a unit."""

    def __init__(self, window: Callable[[Holding, Unit, int], Window] | None = None) -> None:
        self._window = window or _alone
        self._accounts: dict[tuple[str, str], Account] = {}

    def __len__(self) -> int:
        return len(self._accounts)

    def reserve(self, choices: Sequence[Sequence[Holding]], tokens: int, now: float) -> Reservation | Shortage:
        """Reserves a call and so many tokens with one of each of `choices`, or says what is short for longest."""
        calls: list[Window] = []
        used: list[Window] = []
        short: Shortage | None = None
        for alternatives in choices:
            lacks: list[Shortage] = []
            for holding in alternatives:
                windows = self._windows(holding)
                lack = _lack(holding, windows, tokens, now)
                if lack is None:
                    for unit, window in windows:
                        (calls if unit is Unit.CALLS else used).append(window)
                    break
                lacks.append(lack)
            else:
                soonest = min(lacks, key=lambda one: one.wait_s)
                short = soonest if short is None or soonest.wait_s > short.wait_s else short
        if short is not None:
            self.want(choices, tokens, now)
            return short
        return Reservation(tuple(calls), tuple(used), tokens, now)

    def want(self, choices: Sequence[Sequence[Holding]], tokens: int, now: float) -> None:
        """Somebody waits for room in all of `choices`: what is there must not go while the rest is fetched."""
        for alternatives in choices:
            for holding in alternatives:
                for unit, window in self._windows(holding):
                    window.want(1 if unit is Unit.CALLS else tokens, now)

    def left(self, choices: Sequence[Sequence[Holding]], now: float) -> dict[Unit, Left]:
        """The narrowest limit of each unit, for who asks."""
        found: dict[Unit, Left] = {}
        for alternatives in choices:
            widest: dict[Unit, Left] = {}
            for holding in alternatives:
                for unit, window in self._windows(holding):
                    one = Left(window.limit, max(window.limit - window.taken(now), 0), window.reset_s(now))
                    if unit not in widest or one.left > widest[unit].left:
                        widest[unit] = one
            for unit, one in widest.items():
                if unit not in found or one.left < found[unit].left:
                    found[unit] = one
        return found

    def forget(self, now: float) -> None:
        """Accounts in which nothing counts any more."""
        idle = [
            key for key, account in self._accounts.items() if all(one.idle(now) for one in account.windows.values())
        ]
        for key in idle:
            del self._accounts[key]

    def _windows(self, holding: Holding) -> list[tuple[Unit, Window]]:
        """An account's counts, at the limits that are set now."""
        account = self._accounts.get(holding.account)
        if account is None:
            account = self._accounts[holding.account] = Account()
        found: list[tuple[Unit, Window]] = []
        for unit, limit in ((Unit.CALLS, holding.limit.calls), (Unit.TOKENS, holding.limit.tokens)):
            if limit is None:
                continue
            window = account.windows.get(unit)
            if window is None or window.gone:
                window = account.windows[unit] = self._window(holding, unit, limit)
            window.limit = limit
            found.append((unit, window))
        return found


def _lack(holding: Holding, windows: Sequence[tuple[Unit, Window]], tokens: int, now: float) -> Shortage | None:
    for unit, window in windows:
        amount = 1 if unit is Unit.CALLS else tokens
        if window.room(now) < amount:
            wait_s = window.wait_s(amount, now)
            return Shortage(holding, unit, window.limit, window.taken(now), amount, wait_s, bool(window.open))
    return None


def _alone(_holding: Holding, _unit: Unit, limit: int) -> Window:
    return Window(limit)
