"""A change of an allotment, as remembered: what was known, what was decided, and why."""

from dataclasses import dataclass

from penstock.domain.scaling import Kind


@dataclass(frozen=True, slots=True)
class ScalingRecord:
    """One change at `at` (epoch milliseconds), at most one of a served entity in a moment.

    `old` and `new` are allotments, `chunk` what they are made of, `mean` and `burst` the demand by its mean and by its
    last seconds, `free` what its devices could still allot beyond `new`, `minimum` and `maximum` the band: all in
    (reference) tokens per second. `backlog` is reference tokens that waited, `wanted` chunks by demand alone. `devices`
    names those that it has or gets a replica on, and `startup_s` is how long a further one takes to start, 0 where none
    has to start.
    """

    endpoint_id: str
    entity: str
    at: int
    old: float
    new: float
    kind: Kind
    reason: str
    chunk: float
    mean: float
    burst: float
    backlog: float
    wanted: int
    free: float
    minimum: float = 0.0
    maximum: float = 0.0
    startup_s: float = 0.0
    devices: str = ""
