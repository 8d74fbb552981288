"""Places in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from penstock.domain.placement import Claim


@dataclass
class FakePlaceRows:
    """See `penstock.ports.place_rows.PlaceRows`."""

    by_endpoint: dict[str, tuple[Claim, ...]] = field(default_factory=dict)

    async def put(self, endpoint_id: str, claims: Sequence[Claim]) -> None:
        """Replaces what the endpoint has claimed."""
        self.by_endpoint.pop(endpoint_id, None)
        if kept := tuple(sorted((one for one in claims if one.place), key=lambda one: (one.spec, one.device))):
            self.by_endpoint[endpoint_id] = kept

    async def of(self, endpoint_id: str) -> Sequence[Claim]:
        """What an endpoint has claimed."""
        return list(self.by_endpoint.get(endpoint_id, ()))

    async def all(self) -> Mapping[str, Sequence[Claim]]:
        """What all endpoints have claimed."""
        return {key: list(claims) for key, claims in sorted(self.by_endpoint.items())}
