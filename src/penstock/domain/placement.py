"""What fits on a device: shares of its time and bytes of its memory, reserved before anything starts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from penstock.domain.endpoint import Config, Endpoint
from penstock.domain.replica import Replica
from penstock.domain.throughput import MAX_SLICES, SOLD_FRACTION, Chunks

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


@dataclass(frozen=True, slots=True)
class Offer:
    """What the device can do for one spec (`ServedEntity.spec`): the memory of a replica, and its chunks.

    `estimated`: not measured yet. `problem` says why the spec cannot run at all, empty if it can.
    """

    spec: str
    memory: int
    chunks: Chunks
    estimated: bool
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """What one endpoint holds for one spec: a share for its provisioned minimum, and memory for its replicas."""

    spec: str
    share: float
    memory: int
    estimated: bool = field(default=False)


def specs(config: Config | None) -> tuple[str, ...]:
    """The specs of a configuration, each once, in its order."""
    return tuple(dict.fromkeys(entity.spec for entity in config.entities)) if config else ()


def standing(config: Config | None) -> frozenset[str]:
    """The specs of which a replica must stand by: those with a provisioned minimum."""
    return frozenset(entity.spec for entity in config.entities if not entity.scales_to_zero) if config else frozenset()


def share(config: Config | None, spec: str, chunks: Chunks) -> float:
    """The share of the device that a configuration's minimums take for one spec, in whole chunks each."""
    if config is None:
        return 0.0
    return sum(chunks.share(one.min_provisioned_throughput) for one in config.entities if one.spec == spec)


def claims(endpoint: Endpoint, offers: Mapping[str, Offer], live: Iterable[Replica]) -> tuple[Claim, ...]:
    """What an endpoint holds: for each spec the larger of what its two configurations want, and its live replicas.

    A spec that is to stand by holds memory for one replica also while it has none (it crashed, or is yet to start).
    """
    if endpoint.deleted:
        offers = {}
    running: dict[str, list[Replica]] = {}
    for replica in live:
        running.setdefault(replica.spec, []).append(replica)
    wanted = standing(endpoint.active) | set(specs(endpoint.pending))
    found = []
    for spec in dict.fromkeys((*specs(endpoint.active), *specs(endpoint.pending), *running)):
        offer = offers.get(spec)
        if offer and offer.problem:
            offer = None
        part = max(share(config, spec, offer.chunks) for config in (endpoint.active, endpoint.pending)) if offer else 0
        memory = sum(replica.memory for replica in running.get(spec, ()))
        if not memory and offer and spec in wanted:
            memory = offer.memory
        found.append(Claim(spec, part, memory, offer.estimated if offer else False))
    return tuple(found)


def fitted(asked: Sequence[Claim], held: Iterable[Reservation]) -> tuple[Claim, ...]:
    """The claims with estimated shares cut to what is free: a guess does not refuse what a measurement may allow.

    Nothing is cut below the smallest slice there is, so a device that is sold out refuses all the same.
    """
    free = SOLD_FRACTION - sum(one.share for one in held) - sum(one.share for one in asked if not one.estimated)
    guessed = sum(one.share for one in asked if one.estimated)
    if guessed <= max(free, 0):
        return tuple(asked)
    smallest = SOLD_FRACTION / MAX_SLICES
    return tuple(
        Claim(one.spec, max(min(one.share, smallest), one.share * max(free, 0) / guessed), one.memory, estimated=True)
        if one.estimated
        else one
        for one in asked
    )


def total(holder: str, asked: Iterable[Claim]) -> Reservation:
    """The claims of one holder as one reservation."""
    asked = tuple(asked)
    return Reservation(holder, sum(one.share for one in asked), sum(one.memory for one in asked))


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
    holders = (
        ", ".join(
            f"{one.holder} ({one.share:.1%}, {one.memory / 2**20:,.0f} MiB)" for one in held if one.share or one.memory
        )
        or "nobody"
    )
    return f"Insufficient capacity on {device.name} for {asked.holder}: {'; '.join(missing)}. Held by: {holders}."
