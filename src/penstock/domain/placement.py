"""What fits on a device: shares of its time and bytes of its memory, reserved before anything starts."""

from collections.abc import Sequence
from dataclasses import dataclass

from penstock.domain.throughput import SOLD_FRACTION

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Device:
    """A device as the cluster reports it. `device_class` names its kind; `memory` is bytes engines may use."""

    name: str
    device_class: str
    memory: int


@dataclass(frozen=True, slots=True)
class Reservation:
    """What one served entity holds, or asks for: a share of device time (0 to 0.9) and bytes of memory."""

    holder: str
    share: float
    memory: int


def shortfall(device: Device, held: Sequence[Reservation], asked: Reservation) -> str | None:
    """None if `asked` fits beside `held`, else a sentence: what was asked, what is free, and who holds the rest."""
    share_free = SOLD_FRACTION - sum(one.share for one in held)
    memory_free = device.memory - sum(one.memory for one in held)
    missing = []
    if asked.share > share_free + _ROUNDING:
        missing.append(
            f"{asked.share:.1%} of the device's throughput is needed and {max(share_free, 0):.1%} is free "
            f"(at most {SOLD_FRACTION:.0%} is sold)"
        )
    if asked.memory > memory_free:
        missing.append(
            f"{asked.memory / 2**20:,.0f} MiB of memory is needed and {max(memory_free, 0) / 2**20:,.0f} is free"
        )
    if not missing:
        return None
    holders = ", ".join(f"{one.holder} ({one.share:.1%}, {one.memory / 2**20:,.0f} MiB)" for one in held) or "nobody"
    return f"Insufficient capacity on {device.name} for {asked.holder}: {'; '.join(missing)}. Held by: {holders}."
