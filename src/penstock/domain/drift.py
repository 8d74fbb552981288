"""Whether requests take of a device what their version's profile says: what production knows of a cost model.

Time is cut into slices. Only those say something in which the device was busy throughout, near the knee and with one
version: there the device time that was spent is the slice itself, however requests were batched, and what it should
have sufficed for is what the cost model says of the requests that ran in it. The profile's curve tells what a batch
that is not as large as at the knee wins less. The median of many slices is the drift.
"""

import math
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median

from penstock.domain.profile import Fingerprint, Profile

SLICES = 60
"""Slices of the window that is looked at: of an hour, minutes."""
LEAST = 10
"""Slices that must say something before anything is said of the window."""
TOLERANCE = 0.15
BUSY = 0.9
"""The part of a slice in which requests must be in flight."""
COMPUTING = 0.6
"""The part of that time in which an engine that tells so must have computed: else it waited for clients that read."""
NEAR_KNEE = 0.5
"""In flight must be so many times the knee."""
MAIN = 0.9
"""The part of the work that must be the version's."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A profile that is watched: a newer measurement is another subject."""

    fingerprint: Fingerprint
    measured_at: int


@dataclass(frozen=True, slots=True)
class Flight:
    """A request while it was with an engine, from `began` to `ended` in seconds of one clock.

    `seconds` of the device is what it costs by the profile; `measured_s` what its engine says, 0 if it does not tell.
    """

    subject: Subject
    began: float
    ended: float
    seconds: float
    measured_s: float = 0.0


@dataclass(slots=True)
class Slice:
    """What happened on a device in one slice: `work` in device seconds by subject, `flown_s` over all requests."""

    work: dict[Subject, float] = field(default_factory=dict)
    flown_s: float = 0.0
    measured_s: float = 0.0
    told: bool = True
    _began: list[float] = field(default_factory=list)
    _ended: list[float] = field(default_factory=list)

    @property
    def busy_s(self) -> float:
        """The seconds in which something was in flight."""
        return sum(self._ended) - sum(self._began)

    def add(self, flight: Flight, began: float, ended: float) -> None:
        """The part of a flight from `began` to `ended`: its work is taken to be spread evenly."""
        whole = flight.ended - flight.began
        part = (ended - began) / whole if whole > 0 else 1.0
        self.work[flight.subject] = self.work.get(flight.subject, 0.0) + part * flight.seconds
        self.flown_s += ended - began
        self.measured_s += part * flight.measured_s
        self.told = self.told and flight.measured_s > 0
        # Spans that it touches become one with it.
        first, last = bisect_left(self._ended, began), bisect_right(self._began, ended)
        if first < last:
            began, ended = min(began, self._began[first]), max(ended, self._ended[last - 1])
        self._began[first:last] = [began]
        self._ended[first:last] = [ended]


class Meter:
    """The slices of one device that may still get flights. `slice_s` is their length."""

    def __init__(self, slice_s: float) -> None:
        self._slice_s = slice_s
        self._open: dict[int, Slice] = {}
        self._closed = -math.inf
        self._longest = 0.0

    def add(self, flight: Flight) -> None:
        """A request has ended. What falls into closed slices is lost."""
        self._longest = max(self._longest, flight.ended - flight.began)
        number = max(math.floor(flight.began / self._slice_s), self._closed + 1)
        while number * self._slice_s <= flight.ended:
            start = number * self._slice_s
            began, ended = max(flight.began, start), min(flight.ended, start + self._slice_s)
            self._open.setdefault(int(number), Slice()).add(flight, began, ended)
            number += 1

    def close(self, now: float) -> list[Slice]:
        """The slices that get nothing any more: as long ago as the longest request took, and one more."""
        until = math.floor((now - self._longest) / self._slice_s) - 1
        over = sorted(number for number in self._open if number < until)
        self._closed = max(self._closed, until - 1)
        return [self._open.pop(number) for number in over]


def observe(found: Slice, slice_s: float, profiles: Mapping[Subject, Profile]) -> tuple[Subject, float] | None:
    """How much more (or less, below 0) the device took than was predicted, as a part; None if it cannot be told."""
    busy, work = found.busy_s, sum(found.work.values())
    if busy < BUSY * slice_s or work <= 0:
        return None
    if found.told and found.measured_s < COMPUTING * busy:
        return None
    subject = max(found.work, key=lambda one: found.work[one])
    profile = profiles.get(subject)
    parallel = found.flown_s / busy
    if profile is None or found.work[subject] < MAIN * work or parallel < NEAR_KNEE * profile.knee:
        return None
    return subject, busy * pace(profile, parallel) / work - 1


def pace(profile: Profile, parallel: float) -> float:
    """What so many requests in flight get of the device, by the curve: 1 at the knee."""
    points = profile.curve
    right = next((number for number, point in enumerate(points) if point.parallel >= parallel), len(points) - 1)
    one, other = points[max(right - 1, 0)], points[right]
    part = (parallel - one.parallel) / (other.parallel - one.parallel) if other.parallel > one.parallel else 1.0
    between = one.tokens_per_s + min(max(part, 0.0), 1.0) * (other.tokens_per_s - one.tokens_per_s)
    return between / profile.throughput


@dataclass(frozen=True, slots=True)
class Drift:
    """The median error over so many busy slices of `slice_s` seconds in a window; None while they are too few."""

    error: float | None
    slices: int
    slice_s: float

    @property
    def beyond(self) -> bool:
        """Whether the profile does not hold any more."""
        return self.error is not None and abs(self.error) > TOLERANCE

    @property
    def sentence(self) -> str:
        """For people; empty while it holds."""
        if self.error is None or not self.beyond:
            return ""
        how = "more" if self.error > 0 else "less"
        time = f"{self.slices} busy minutes of an hour" if self.slice_s == 60 else f"{self.slices} busy slices"  # noqa: PLR2004 - a minute
        return (
            f"Requests take {abs(self.error):.0%} {how} of the device than was measured "
            f"(median of {time}, of which {TOLERANCE:.0%} are tolerated)."
        )


class Errors:
    """The errors of one subject over the last `SLICES` slices."""

    def __init__(self, slice_s: float) -> None:
        self._slice_s = slice_s
        self._seen: deque[tuple[float, float]] = deque()

    def add(self, now: float, error: float) -> None:
        """One more slice."""
        self._seen.append((now, error))

    def drift(self, now: float) -> Drift:
        """Of the window that ends now."""
        while self._seen and self._seen[0][0] <= now - SLICES * self._slice_s:
            self._seen.popleft()
        errors = [error for _, error in self._seen]
        return Drift(median(errors) if len(errors) >= LEAST else None, len(errors), self._slice_s)
