"""How long answers become, learned from answers some of which were cut short by their limit.

An answer that ended at its limit says only that it would have been at least so long: counting it as a whole one would
make answers with larger limits look shorter than they are. So what is kept is the part of answers that go on beyond
each length (the product-limit estimate of a survival function), and the mean below a limit is the area under it.
"""

from bisect import bisect_right

MOST = 2000
"""Answers that are remembered; more are not needed to know a mean."""


class AnswerLengths:
    """Learns from answers; tells the mean length below a limit, in tokens."""

    def __init__(self) -> None:
        self._seen: list[tuple[int, bool]] = []
        self._at: list[float] = []
        self._area: list[float] = []
        self._left: list[float] = []
        self._known = 0

    def learn(self, tokens: int, *, cut: bool) -> None:
        """An answer had so many tokens; `cut`: it ended at its limit."""
        if len(self._seen) < MOST:
            self._seen.append((tokens, cut))

    def mean(self, limit: float | None, untold: float) -> float:
        """Tokens of an answer with that limit, None for none; `untold` where no answer has told anything.

        Beyond the longest answer seen, what still goes on is taken to go on to the limit.
        """
        if not self._seen:
            return untold if limit is None else limit
        if self._known != len(self._seen):
            self._update()
        longest = self._at[-1]
        end = longest if limit is None else limit
        place = bisect_right(self._at, end) - 1
        return self._area[place] + self._left[place] * (end - self._at[place])

    def _update(self) -> None:
        """`_left[k]` of all answers go on beyond `_at[k]` tokens; `_area[k]` is the mean of what lies below it."""
        self._known = len(self._seen)
        self._at, self._area, self._left = [0.0], [0.0], [1.0]
        ordered = sorted(self._seen)
        going, index = len(ordered), 0
        while index < len(ordered):
            tokens = ordered[index][0]
            here = [cut for length, cut in ordered[index : index + going] if length == tokens]
            area = self._area[-1] + self._left[-1] * (tokens - self._at[-1])
            self._at.append(float(tokens))
            self._area.append(area)
            self._left.append(self._left[-1] * (1 - here.count(False) / going))
            index += len(here)
            going -= len(here)
