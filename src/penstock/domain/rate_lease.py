"""A limit of which only a part is ours: several gateways share it, and each reserves from what it has leased.

What is leased is counted as taken by whoever keeps the common budget, until it is told that it was used, which then
counts for a minute, or is given back. So the sum over gateways stays within the limit whatever messages are lost: a
gateway that hears nothing spends what it has at hand, for `good_until` at most, and no more.
"""

from penstock.domain.rate_window import Window

_AHEAD_S = 0.5
"""What is used in so many seconds is kept at hand."""
_QUIET_S = 1.0
_SMALLEST_PART = 200
"""At hand is kept at least the limit divided by this while there are requests: a round trip for each would be slow."""


class LeasedWindow(Window):
    """One limit's count in one gateway. `room` is what is at hand."""

    __slots__ = (
        "_rate",
        "_seen",
        "_told_at",
        "at_hand",
        "gone",
        "good_until",
        "left",
        "needs",
        "reported",
        "spent",
        "total",
        "wait",
    )

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.at_hand = 0
        self.gone = False
        self.good_until = 0.0
        self.left = limit
        self.needs = self.total = 0
        self.wait = 0.0
        self.spent = 0
        self.reported = 0
        self._seen = 0
        self._rate = 0.0
        self._told_at = 0.0

    @property
    def held(self) -> int:
        """What is counted as ours."""
        return self.at_hand + self.open

    def taken(self, now: float) -> int:
        """As far as is known: all but what nobody has and what is at hand here."""
        return max(self.limit - self.left - self.at_hand, self.recent(now) + self.open)

    def recent(self, now: float) -> int:
        """What was used here in the last minute."""
        return super().taken(now) - self.open

    def room(self, now: float) -> int:
        """What is at hand, and still ours."""
        return self.at_hand if now < self.good_until else 0

    def reserve(self, amount: int) -> None:
        """Takes it from what is at hand."""
        super().reserve(amount)
        self.at_hand -= amount

    def free(self, amount: int) -> None:
        """Puts it back at hand."""
        super().free(amount)
        self.at_hand += amount

    def add(self, amount: int, now: float) -> None:
        """Counts it, here and to be told."""
        super().add(amount, now)
        self.spent += amount

    def undo(self, amount: int, at: float, now: float) -> None:
        """Only what nobody was told of can be taken back in common; the rest stays used until it has aged."""
        super().undo(amount, at, now)
        back = min(amount, self.spent - self.reported)
        self.spent -= back
        self.at_hand += back

    def want(self, amount: int, now: float) -> None:
        """Until the next time so much stays at hand, or is fetched for all who wait if there is less."""
        self.needs = max(self.needs, amount)
        if self.room(now) < amount:
            self.total += amount

    def wait_s(self, amount: int, now: float) -> float:
        """Seconds until it is worth asking again."""
        return 0.0 if self.room(now) >= amount else self.wait

    def idle(self, now: float) -> bool:
        """Whether nothing is known of it, here and in common."""
        return super().idle(now) and not self.held and self.spent == self.reported

    def wish(self, now: float) -> int:
        """How much is to be at hand: what somebody waits for, and what is used until the next time, if there is any.

        What is at hand beyond that is given up with this call: it is not ours any more.
        """
        needs = min(max(self.needs, self.total), self.limit)
        passed = max(now - self._told_at, 0.1)
        used = self.spent - self._seen
        old = self._rate * (0.5 if passed < _QUIET_S else 0.0)
        self._rate = max(used / passed, old)
        self._told_at, self._seen = now, self.spent
        busy = used > 0 or needs > 0
        least = self.limit // _SMALLEST_PART if busy else 0
        target = min(max(needs, int(self._rate * _AHEAD_S), least), self.limit)
        self.at_hand = min(self.at_hand, target)
        self.needs = 0
        return target - self.at_hand

    def granted(self, amount: int, left: int, wait_s: float, good_until: float) -> None:
        """The common budget has answered."""
        self.at_hand += amount
        self.left = left
        self.wait = wait_s
        self.good_until = good_until
