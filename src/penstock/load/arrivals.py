"""When requests are sent. Closed: so many at a time, each followed by the next. Open: at times of their own."""

import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from penstock.domain.errors import InvalidParameter


@dataclass(frozen=True, slots=True)
class Closed:
    """`parallel` callers, each of whom sends the next request when the answer to the last one is complete."""

    parallel: int

    def __post_init__(self) -> None:
        if self.parallel < 1:
            raise InvalidParameter(f"parallel must be at least 1, but is {self.parallel}")

    def __str__(self) -> str:
        return f"{self.parallel} at a time"


@dataclass(frozen=True, slots=True)
class Gaps:
    """Open loop: `rate` requests per second, whose gaps have the coefficient of variation `cv`.

    0 is a metronome, 1 a Poisson process, more than 1 comes in bursts. The same `seed` gives the same times.
    """

    rate: float
    cv: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.rate > 0 and math.isfinite(self.rate)):
            raise InvalidParameter(f"rate must be positive requests per second, but is {self.rate}")
        if not (self.cv >= 0 and math.isfinite(self.cv)):
            raise InvalidParameter(f"cv must not be negative, but is {self.cv}")

    def __str__(self) -> str:
        kind = "constant" if self.cv == 0 else "Poisson" if self.cv == 1 else f"Gamma, CV {self.cv:g}"
        return f"{self.rate:g}/s, {kind}"

    def times(self) -> Iterator[float]:
        """Seconds from the start at which requests are sent, without end."""
        if self.cv == 0:
            return (number / self.rate for number in itertools.count())
        return itertools.accumulate(self._gaps())

    def _gaps(self) -> Iterator[float]:
        draw = random.Random(self.seed)  # noqa: S311 - repeatable, not secret
        shape = 1 / self.cv**2
        scale = 1 / (self.rate * shape)
        while True:
            yield draw.gammavariate(shape, scale)


@dataclass(frozen=True, slots=True)
class Replay:
    """Open loop at recorded times, in seconds from the start and in order; `speed` 2 replays twice as fast."""

    at: tuple[float, ...]
    speed: float = 1.0

    def __post_init__(self) -> None:
        if not self.speed > 0:
            raise InvalidParameter(f"speed must be positive, but is {self.speed}")
        if any(later < earlier for earlier, later in itertools.pairwise(self.at)):
            raise InvalidParameter("times of a trace must not go back")

    def __str__(self) -> str:
        return f"trace of {len(self.at)} requests"

    def times(self) -> Iterator[float]:
        """Seconds from the start at which requests are sent."""
        return (at / self.speed for at in self.at)


Arrivals = Closed | Gaps | Replay


def poisson(rate: float, seed: int = 0) -> Gaps:
    """Independent callers."""
    return Gaps(rate, 1.0, seed)


def constant(rate: float) -> Gaps:
    """One request every `1 / rate` seconds."""
    return Gaps(rate, 0.0)
