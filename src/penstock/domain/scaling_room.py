"""What a served entity has of each device."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """Of one device, in tokens per second: `floor` is reserved for the minimum, `allotted` is all there is."""

    device: str
    floor: float
    allotted: float
