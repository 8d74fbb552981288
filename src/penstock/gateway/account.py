"""A served entity at the gate: what it has bought, and what it has of each device."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from penstock.domain.routing import EntityRoute
from penstock.domain.scaling_room import Part
from penstock.domain.tenancy import Sale
from penstock.domain.throughput import SOLD_FRACTION

_ROUNDING = 1e-6


@dataclass(slots=True)
class Account:
    """`floors` and `extra` are tokens per second by device: reserved for the minimum, and allotted on top.

    `arrived` and `attained` count reference tokens since the start. At `more_at`, by the gate's clock in seconds, a
    further replica is to be ready, with `more` tokens per second. `turns` counts requests that wait or are with an
    engine.
    """

    endpoint_id: str
    entity: str
    sale: Sale
    floors: dict[str, float]
    extra: dict[str, float] = field(default_factory=dict)
    arrived: float = 0.0
    attained: float = 0.0
    more_at: float = 0.0
    more: float = 0.0
    turns: int = 0

    @property
    def key(self) -> str:
        """How arbiters call it."""
        return f"{self.endpoint_id}/{self.entity}"

    @property
    def devices(self) -> tuple[str, ...]:
        """Where its replicas are."""
        return tuple(self.floors)

    @property
    def allotment(self) -> float:
        """Tokens per second that are promised: never less than the minimum, though a replica of it be lost."""
        return max(sum(self.floors.values()) + sum(self.extra.values()), self.sale.minimum)

    @property
    def parts(self) -> tuple[Part, ...]:
        """What it has of each device."""
        return tuple(Part(name, floor, floor + self.extra.get(name, 0.0)) for name, floor in self.floors.items())

    def share(self, device: str) -> float:
        """The share of a device's time that it has there."""
        return self.sale.share(self.floors[device] + self.extra.get(device, 0.0))

    def settle(self, sale: Sale, floors: dict[str, float]) -> None:
        """Takes another sale or other devices; what was allotted beyond the minimum stays as far as it may."""
        self.sale, self.floors = sale, floors
        self.extra = {name: more for name, more in self.extra.items() if name in floors}
        most, extra = max(sale.maximum - sum(floors.values()), 0.0), sum(self.extra.values())
        if extra > most:
            self.extra = {name: more * most / extra for name, more in self.extra.items()}

    def take(self, wished: Mapping[str, float], sold: Mapping[str, float]) -> None:
        """Takes so many tokens per second of each device, beside the share that others have `sold` to them there."""
        self.extra = {}
        left = max(self.sale.maximum - sum(self.floors.values()), 0.0)
        for name, floor in self.floors.items():
            free = SOLD_FRACTION - sold[name] - self.sale.share(floor)
            most = self.sale.tokens_per_s(max(free, 0.0))
            more = min(max(wished.get(name, 0.0) - floor, 0.0), left)
            # What is missing by rounding alone is not missing.
            self.extra[name] = more if more <= most + _ROUNDING * self.sale.chunk else most
            left -= self.extra[name]

    def give_back(self, device: str, over: float) -> float:
        """Gives back so large a share of the device, in whole chunks as far as there are; returns how large a one."""
        extra, sale = self.extra.get(device, 0.0), self.sale
        chunks = -int(-(over / sale.chunk_share - _ROUNDING) // 1)
        given = min(extra, chunks * sale.chunk)
        self.extra[device] = extra - given
        return sale.share(given)


def floors_of(entity: EntityRoute, sale: Sale) -> dict[str, float]:
    """The tokens per second that are reserved for the minimum on each device of the replicas.

    As they were placed; alike on all where that is not said. Together never more than the minimum.
    """
    floors: dict[str, float] = {}
    for replica in entity.replicas:
        floors[replica.device] = floors.get(replica.device, 0.0) + sale.tokens_per_s(replica.share)
    total = sum(floors.values())
    if total <= 0:
        return dict.fromkeys(floors, sale.minimum / len(floors)) if floors else {"": sale.minimum}
    return {name: floor * min(1.0, sale.minimum / total) for name, floor in floors.items()}
