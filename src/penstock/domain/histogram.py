"""How many of what was seen lies between bounds."""

from bisect import bisect_left


class Histogram:
    """`counts` has one more part than `bounds`, which is without a bound; `total` is the sum of all that was seen."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        """`bounds` are upper ones, included, and rise."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def see(self, value: float) -> None:
        """One more."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def copy(self) -> "Histogram":
        """One that goes its own way."""
        made = Histogram(self.bounds)
        made.counts, made.total = list(self.counts), self.total
        return made
