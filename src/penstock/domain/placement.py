"""What endpoints need of devices and hold on them: shares of their time and bytes of their memory.

All of it is reserved before anything starts; `penstock.domain.packing` chooses the devices.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from penstock.domain.endpoint import Config, Endpoint
from penstock.domain.throughput import MAX_SLICES, SOLD_FRACTION, Chunks

ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Device:
    """A device as the cluster reports it. `memory` is bytes that engines may use.

    `device_class` begins with what it is ("cpu/", "gpu/"); what was measured on one holds for all of equal class.
    """

    name: str
    device_class: str
    memory: int

    @property
    def kind(self) -> str:
        """What it is: "cpu" or "gpu"."""
        return self.device_class.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Reservation:
    """What one holder has of one device, by name: a share of its time (0 to 0.9) and bytes of its memory.

    The memory is that of the replicas of `spec` there, and everybody's who holds that spec there: it counts once.
    Without a spec it is the holder's own. Of the memory, `soft` bytes are of replicas that give way to a minimum, and
    `leaving` of those that are ending. So much of the share is only a `wish`, held for a guess.
    """

    holder: str
    share: float
    memory: int
    device: str
    spec: str = ""
    soft: int = 0
    leaving: int = 0
    wish: float = 0.0


@dataclass(frozen=True, slots=True)
class Need:
    """What an endpoint needs for one spec: so many chunks of a share each, and memory for each replica.

    `name` is for sentences. Of what is `estimated` only a replica is sure; how much it is good for will be measured.
    What is `firm` must have a place, what is not is only wanted now. `further` are devices on which a replica is wanted
    beyond what the minimum takes. It goes to devices of its `kind` only; empty: to any.
    """

    spec: str
    name: str
    chunks: int
    chunk: float
    memory: int
    estimated: bool = False
    firm: bool = True
    further: tuple[str, ...] = ()
    kind: str = ""

    @property
    def share(self) -> float:
        """All of it, as a share of one device; more than 0.9 takes several."""
        return self.chunks * self.chunk

    @property
    def least(self) -> float:
        """The share without which it is not placed: a guess does not refuse what a measurement may allow."""
        return min(self.share, SOLD_FRACTION / MAX_SLICES) if self.estimated else self.share

    def may_go_to(self, device: Device) -> bool:
        """Whether the device is one that it can run on."""
        return not self.kind or self.kind == device.kind

    def whole(self, share: float) -> int:
        """How many chunks a share is good for."""
        return max(int((share + ROUNDING) / self.chunk), 0)


@dataclass(frozen=True, slots=True)
class Offer:
    """What a device can do for one spec (`ServedEntity.spec`): the memory of a replica, and its chunks.

    `estimated`: not measured yet. `problem` says why the spec cannot run at all, empty if it can. `kind` is that of the
    devices it runs on, empty for any.
    """

    spec: str
    memory: int
    chunks: Chunks
    estimated: bool
    problem: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """What one endpoint holds for one spec on one device: a share for its minimum, and memory for the replicas there.

    `place`: a replica is to be there; without it, the memory is that of replicas which have yet to end. `soft`: no
    minimum asks for it, so that it gives way to one that needs the memory. The share is the endpoint's alone; the
    replica and its memory belong to all that claim the place. So much of the share is only a `wish`: what was not
    measured yet may want it.
    """

    spec: str
    device: str
    share: float
    memory: int
    place: bool = True
    soft: bool = False
    wish: float = 0.0


def specs(config: Config | None) -> tuple[str, ...]:
    """The specs of a configuration, each once, in its order."""
    return tuple(dict.fromkeys(entity.spec for entity in config.entities)) if config else ()


def known_specs(endpoint: Endpoint) -> tuple[str, ...]:
    """The specs of what serves and of what is being rolled out, each once."""
    return tuple(dict.fromkeys((*specs(endpoint.active), *specs(endpoint.pending))))


def places(claims: Iterable[Claim]) -> frozenset[tuple[str, str]]:
    """The (spec, device) pairs where these claims want a replica."""
    return frozenset((claim.spec, claim.device) for claim in claims if claim.place)


def standing(config: Config | None) -> frozenset[str]:
    """The specs of which a replica must stand by: those with a provisioned minimum."""
    return frozenset(entity.spec for entity in config.entities if not entity.scales_to_zero) if config else frozenset()


def chunk_count(config: Config | None, spec: str, chunks: Chunks) -> int:
    """The chunks that a configuration's minimums take for one spec, in whole ones for each served entity."""
    entities = config.entities if config else ()
    return sum(chunks.count(one.band(chunks.chunk)[0]) for one in entities if one.spec == spec)


def needs(
    endpoint: Endpoint,
    offers: Mapping[str, Offer],
    awake: Iterable[str] = (),
    further: Mapping[str, Iterable[str]] | None = None,
) -> tuple[Need, ...]:
    """What an endpoint needs: for each spec the larger of what its two configurations want.

    `awake` are specs of which a replica is wanted although no minimum asks for one, and `further` the devices, by spec,
    on which one is wanted beyond what the minimum takes.
    """
    if endpoint.deleted:
        return ()
    configs = (endpoint.active, endpoint.pending)
    firm = standing(endpoint.active) | set(specs(endpoint.pending))
    wanted = firm | set(awake)
    found: list[Need] = []
    for entity in (entity for config in configs if config is not None for entity in config.entities):
        offer = offers.get(entity.spec)
        if offer is None or offer.problem or entity.spec not in wanted or entity.spec in {one.spec for one in found}:
            continue
        count = max(chunk_count(config, entity.spec, offer.chunks) for config in configs)
        one = need(offer, "/".join(entity.runs), count, firm=entity.spec in firm)
        found.append(replace(one, further=tuple(sorted((further or {}).get(entity.spec, ())))))
    return tuple(found)


def need(offer: Offer, name: str, chunks: int, *, firm: bool = True) -> Need:
    """So many chunks of an offer; `name` is for sentences."""
    return Need(
        spec=offer.spec,
        name=name,
        chunks=chunks,
        chunk=SOLD_FRACTION / offer.chunks.slices,
        memory=offer.memory,
        estimated=offer.estimated,
        firm=firm,
        kind=offer.kind,
    )


def reservations(holder: str, claims: Iterable[Claim]) -> tuple[Reservation, ...]:
    """The claims of one holder."""
    return tuple(
        Reservation(
            holder,
            one.share,
            one.memory,
            one.device,
            one.spec,
            soft=one.memory if one.place and one.soft else 0,
            leaving=0 if one.place else one.memory,
            wish=one.wish,
        )
        for one in claims
    )


def together(held: Iterable[Reservation]) -> list[Reservation]:
    """What several hold of one spec on a device, as one: the replica gives way, or ends, if it does for all of them."""
    found: list[Reservation] = []
    groups: dict[tuple[str, str], list[Reservation]] = {}
    for one in held:
        if one.spec:
            groups.setdefault((one.spec, one.device), []).append(one)
        else:
            found.append(one)
    for (spec, device), group in groups.items():
        memory = max(one.memory for one in group)
        firm = any(one.memory and not one.soft and not one.leaving for one in group)
        soft = not firm and any(one.soft for one in group)
        found.append(
            Reservation(
                ", ".join(one.holder for one in group),
                sum(one.share for one in group),
                memory,
                device,
                spec,
                soft=memory if soft else 0,
                leaving=0 if firm or soft else memory,
                wish=sum(one.wish for one in group),
            )
        )
    return found


def shortage(
    devices: Sequence[Device], held: Sequence[Reservation], asked: Reservation, lacking: Sequence[Need]
) -> str:
    """A sentence: what was asked, what is free on each device, and who holds the rest.

    `asked` is all that its holder asks for, and `lacking` what of that found no place.
    """
    if len(devices) == 1 and (said := shortfall(devices[0], held, asked)):
        return said
    wanted = "; ".join(
        f"{one.name} needs {one.share:.1%} of a device's throughput"
        + (f" in chunks of {one.chunk:.1%}" if one.chunks > 1 else "")
        + f" and {_mebibytes(one.memory)} MiB of memory for each replica"
        for one in lacking
    )
    free = ", ".join(
        f"{device.name} {max(share, 0):.1%} and {_mebibytes(max(memory, 0))} MiB"
        for device in devices
        for share, memory in [left(device, held)]
    )
    return (
        f"Insufficient capacity on {', '.join(device.name for device in devices)} for {asked.holder}: {wanted}. "
        f"Free (at most {SOLD_FRACTION:.0%} of a device is sold): {free}. Held by: {_holders(devices, held)}."
    )


def left(device: Device, held: Iterable[Reservation]) -> tuple[float, int]:
    """The share and the memory of a device that nobody holds; below zero if more is held than there is."""
    mine = together(one for one in held if one.device == device.name)
    return SOLD_FRACTION - sum(one.share for one in mine), device.memory - sum(one.memory for one in mine)


def shortfall(device: Device, held: Sequence[Reservation], asked: Reservation) -> str | None:
    """None if `asked` fits on the device beside `held`, else a sentence as that of `shortage`."""
    share_free, memory_free = left(device, held)
    missing = []
    if asked.share > share_free + ROUNDING:
        missing.append(
            f"{asked.share:.1%} of the device's throughput is needed and {max(share_free, 0):.1%} is free "
            f"(at most {SOLD_FRACTION:.0%} is sold)"
        )
    if asked.memory > memory_free:
        missing.append(
            f"{_mebibytes(asked.memory)} MiB of memory is needed and {_mebibytes(max(memory_free, 0))} is free"
        )
    if not missing:
        return None
    holders = _holders([device], held)
    return f"Insufficient capacity on {device.name} for {asked.holder}: {'; '.join(missing)}. Held by: {holders}."


def _holders(devices: Sequence[Device], held: Iterable[Reservation]) -> str:
    names = [device.name for device in devices]
    found = [one for one in held if one.device in names and (one.share or one.memory)]
    said = []
    for holder, device in dict.fromkeys((one.holder, one.device) for one in found):
        here = [one for one in found if one.device == device]
        mine = [one for one in here if one.holder == holder]
        specs_of_mine = {one.spec for one in mine if one.spec}
        partners = dict.fromkeys(one.holder for one in here if one.spec in specs_of_mine and one.holder != holder)
        where = f" on {device}" if len(names) > 1 else ""
        memory = f"{_mebibytes(sum(one.memory for one in mine))} MiB"
        together = f" together with {' and '.join(partners)}" if partners else ""
        said.append(f"{holder}{where} ({sum(one.share for one in mine):.1%}, {memory}{together})")
    return ", ".join(said) or "nobody"


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:,.0f}"
