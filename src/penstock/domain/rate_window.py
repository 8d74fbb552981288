"""What was used of a limit in the last minute, and what is reserved of it. Pure: time is given.

The minute slides: what is used counts for 60 seconds from when it was used, in slots of a quarter of a second, so for
up to a quarter of a second more. Fixed minutes would let twice the limit through around each full minute, and a bucket
that refills does so in the first one.

What is reserved counts in full for as long as it is, and becomes used or free, piece by piece. So at any moment, what
was used in the last 60 seconds plus what may still be used by answers under way is what `taken` says.
"""

from collections import deque

WINDOW_S = 60.0
SLOT_S = 0.25
_SLOTS = int(WINDOW_S / SLOT_S)


class Window:
    """One limit's count. `limit` may be changed at any time; `taken` is then more than it until enough has aged."""

    __slots__ = ("_slots", "_used", "limit", "open")
    gone = False
    """Whether nobody looks after it any more: whoever has it takes a new one."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.open = 0
        self._used = 0
        self._slots: deque[list[int]] = deque()

    def taken(self, now: float) -> int:
        """What was used in the last minute, and what is reserved."""
        self._age(now)
        return self._used + self.open

    def room(self, now: float) -> int:
        """What may be reserved."""
        return self.limit - self.taken(now)

    def reserve(self, amount: int) -> None:
        """Puts an amount aside; that there is room is asked before."""
        self.open += amount

    def use(self, amount: int, now: float) -> None:
        """So much of what is reserved was used now."""
        self.open -= amount
        self.add(amount, now)

    def free(self, amount: int) -> None:
        """So much of what is reserved will not be used."""
        self.open -= amount

    def add(self, amount: int, now: float) -> None:
        """So much was used now that was not reserved."""
        self._age(now)
        slot = int(now // SLOT_S)
        if self._slots and self._slots[-1][0] >= slot:
            self._slots[-1][1] += amount
        else:
            self._slots.append([slot, amount])
        self._used += amount

    def undo(self, amount: int, at: float, now: float) -> None:
        """What was used at that time was not used after all. Only for what was used then: what is older stays."""
        self._age(now)
        slot = int(at // SLOT_S)
        for one in self._slots:
            if one[0] == slot:
                back = min(amount, one[1])
                one[1] -= back
                self._used -= back

    def want(self, amount: int, now: float) -> None:
        """Somebody waits for room here and elsewhere together. Who shares a limit with others sees to it."""

    def wait_s(self, amount: int, now: float) -> float:
        """Seconds until there is room for an amount if nothing else comes, and all that is reserved is used at once."""
        lack = self.taken(now) + amount - self.limit
        if lack <= 0:
            return 0.0
        for slot, used in self._slots:
            lack -= used
            if lack <= 0:
                return (slot + _SLOTS + 1) * SLOT_S - now
        return WINDOW_S + SLOT_S

    def reset_s(self, now: float) -> float:
        """Seconds until all of it is there again, if nothing else comes."""
        self._age(now)
        if self.open:
            return WINDOW_S + SLOT_S
        return (self._slots[-1][0] + _SLOTS + 1) * SLOT_S - now if self._slots else 0.0

    def idle(self, now: float) -> bool:
        """Whether nothing is known of it that a new one would not know."""
        self._age(now)
        return not self._slots and not self.open

    def _age(self, now: float) -> None:
        last = int(now // SLOT_S) - _SLOTS - 1
        while self._slots and self._slots[0][0] <= last:
            self._used -= self._slots.popleft()[1]
