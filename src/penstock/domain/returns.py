"""Who was refused and told when to come back, so that a caller who does has its place.

Without it, those who come back compete with those who come for the first time, and are mostly refused again. A caller
is known by a claim: a number that its repeated request has again. Who comes early keeps its place; who never comes has
taken nothing, as the time is used by others.
"""

MOST_PLACES = 1024
LINE_S = 120.0
"""How far ahead places are given. Who comes beyond that is told to ask again then, without a place."""
GRACE_S = 30.0
"""How much later than told a caller may come: clients wait longer than asked, and some at random."""
_ROUNDING = 1e-6


class Returns:
    """The places of one endpoint's callers. `next_at` is when the next one may come back."""

    __slots__ = ("_places", "next_at")

    def __init__(self, now: float) -> None:
        self.next_at = now
        self._places: dict[int, float] = {}

    def __bool__(self) -> bool:
        return bool(self._places)

    def place(self, claim: int | None, earliest: float, gap: float, now: float) -> float:
        """When the caller may come back: at the time that it has, or at a new one, `gap` seconds before the next's."""
        held = self._places.get(claim) if claim is not None else None
        if held is not None and held + GRACE_S >= now:
            return max(held, now)
        at = max(earliest, self.next_at)
        if at > now + LINE_S:
            return max(earliest, now + LINE_S)
        self.next_at = at + gap
        if claim is not None:
            self._prune(now)
            self._places[claim] = at
        return at

    def take(self, claim: int, now: float) -> bool:
        """Whether the caller comes back at its time; its place is then used up."""
        at = self._places.get(claim)
        if at is None or now < at - _ROUNDING:
            return False
        del self._places[claim]
        return now <= at + GRACE_S

    def _prune(self, now: float) -> None:
        """Forgets who did not come; the oldest come first, since each place is after those before it."""
        while self._places:
            claim = next(iter(self._places))
            if len(self._places) < MOST_PLACES and self._places[claim] + GRACE_S >= now:
                return
            del self._places[claim]
