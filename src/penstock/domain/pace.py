"""Rates from counters: how fast something goes, by what a counter showed over the last seconds."""

from collections import deque


class Pace:
    """Samples of a counter that only grows. `window_s` is how far back it looks, in seconds."""

    __slots__ = ("_samples", "_window_s")

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._samples: deque[tuple[float, float]] = deque()

    def add(self, now: float, value: float) -> None:
        """The counter shows `value` at `now` (seconds of any clock that only grows)."""
        samples = self._samples
        if samples and value < samples[-1][1]:
            samples.clear()
        samples.append((now, value))
        while len(samples) > 2 and samples[1][0] <= now - self._window_s:  # noqa: PLR2004 - a rate needs two
            samples.popleft()

    def per_s(self) -> float:
        """The mean rate over the window; 0 before there are two samples."""
        if len(self._samples) < 2:  # noqa: PLR2004 - a rate needs two
            return 0.0
        (began, first), (ended, last) = self._samples[0], self._samples[-1]
        return (last - first) / (ended - began) if ended > began else 0.0
