"""What a request is charged when its engine tells how long it really took.

An engine's seconds are not those that were sold: on a machine that is slower today, or with few requests in a batch,
all of them are longer. So they are compared with each other: each is charged its part of what all together were
predicted to take. Which request cost more than its shape tells comes out; how fast the machine is does not.
"""

import math

LEAST, MOST = 0.5, 2.0
"""Of its predicted cost, a request is charged so much at least and at most: what disturbs a machine hits some more."""


class Measured:
    """The newest requests of one device. `memory_s` are the device seconds after which a request hardly counts."""

    __slots__ = ("memory_s", "predicted_s", "took_s")

    def __init__(self, memory_s: float = 5.0) -> None:
        self.memory_s = memory_s
        self.predicted_s = self.took_s = 0.0

    def charge(self, predicted_s: float, took_s: float) -> float:
        """Device seconds to charge for a request that took so long; `took_s` of 0: its engine does not tell."""
        if took_s <= 0 or predicted_s <= 0:
            return predicted_s
        kept = self.memory_s / (self.memory_s + predicted_s)
        self.predicted_s = kept * self.predicted_s + predicted_s
        self.took_s = kept * self.took_s + took_s
        fair = took_s * self.predicted_s / self.took_s
        return min(max(fair, LEAST * predicted_s), MOST * predicted_s)


def seconds_of(text: bytes) -> float:
    """The seconds that an engine told; 0 for what is none."""
    try:
        seconds = float(text)
    except ValueError:
        return 0.0
    return seconds if 0 < seconds < math.inf else 0.0
