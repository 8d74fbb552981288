"""How throughput is sold: chunks, bands, units of provisioned concurrency, and the share of a device they take."""

import math
from dataclasses import dataclass

SOLD_FRACTION = 0.9
"""At most this part of a device's measured throughput is sold; the rest pays for noise."""

TOKENS_PER_S_FOR_A_SLICE = 853
MAX_SLICES = 16
CONCURRENCY_PER_CHUNK = 4


@dataclass(frozen=True, slots=True)
class Chunks:
    """How throughput of one version on one device is divided: `chunk` tokens per second, `slices` of them a device."""

    chunk: int
    slices: int
    throughput: float

    def count(self, tokens_per_s: int) -> int:
        """Whole chunks needed for that many tokens per second, rounded up."""
        return math.ceil(tokens_per_s / self.chunk)

    def share(self, tokens_per_s: int) -> float:
        """The share of a device's time (1.0 is all of it) for that many tokens per second, in whole chunks."""
        return self.count(tokens_per_s) * SOLD_FRACTION / self.slices

    def provisioned_concurrency(self, tokens_per_s: int) -> int:
        """Units of provisioned concurrency: four for each chunk."""
        return self.count(tokens_per_s) * CONCURRENCY_PER_CHUNK


def divide(throughput: float) -> Chunks:
    """The chunks for a replica that does `throughput` tokens per second at the knee of its curve.

    A slice must hold some 20 reference requests a minute for the promise to be kept within 60 s; hence 853.
    """
    slices = min(max(int(throughput // TOKENS_PER_S_FOR_A_SLICE), 1), MAX_SLICES)
    return Chunks(_two_digits(SOLD_FRACTION * throughput / slices), slices, throughput)


def _two_digits(value: float) -> int:
    """Rounded down to two significant digits, at least 1."""
    if value < 1:
        return 1
    unit = 10 ** max(0, int(math.log10(value)) - 1)
    return int(value // unit * unit)
