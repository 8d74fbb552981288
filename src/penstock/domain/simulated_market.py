"""What goes into a simulation, and what comes out: requests, a band, where it runs; answers and allotments."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from penstock.domain.errors import InvalidParameter
from penstock.domain.scaling import Policy
from penstock.domain.tenancy import Terms
from penstock.domain.throughput import Chunks


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request at `at` seconds from the start; `most_out` is its max_tokens, 0 for just what it produces.

    Embeddings have no tokens out.
    """

    at: float
    tokens_in: int
    tokens_out: int
    most_out: int = 0

    def __post_init__(self) -> None:
        if self.tokens_in < 1 or self.tokens_out < 0 or not math.isfinite(self.at):
            raise InvalidParameter("a request has a finite time, at least one token in, and no fewer than none out")


@dataclass(frozen=True, slots=True)
class Band:
    """What is bought, in chunks: always `minimum`, up to `maximum` by demand."""

    minimum: int
    maximum: int

    def __post_init__(self) -> None:
        if not 0 <= self.minimum <= self.maximum or self.maximum < 1:
            raise InvalidParameter(
                f"a band needs 0 <= min <= max and max >= 1, but is {self.minimum} to {self.maximum}"
            )


@dataclass(frozen=True, slots=True)
class Market:
    """Where it runs: the model's terms and chunks, seconds until another replica is ready, how it scales.

    `busy`: the rest of every device is sold to a neighbour that always asks for more than it gets.
    """

    terms: Terms
    chunks: Chunks
    startup_s: float = 0.0
    policy: Policy = field(default_factory=Policy)
    busy: bool = True


@dataclass(slots=True)
class Answer:
    """What became of an arrival. Seconds from its arrival; -1 for what did not come. `served` is False if refused."""

    arrival: Arrival
    served: bool
    ttft_s: float = -1.0
    latency_s: float = -1.0


@dataclass(frozen=True, slots=True)
class Moment:
    """From `at` on, so many chunks were allotted, on so many replicas; none of either while it is scaled to zero."""

    at: float
    chunks: int
    replicas: int


@dataclass(frozen=True, slots=True)
class Run:
    """What a simulation tells. `attained` and `offered` are reference tokens in each second of the trace."""

    answers: Sequence[Answer]
    moments: Sequence[Moment]
    attained: Sequence[float]
    offered: Sequence[float]
    seconds: float
