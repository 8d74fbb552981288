"""Which devices endpoints run on, as stored: what a server that starts again goes by."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from penstock.domain.placement import Claim


class PlaceRows(Protocol):
    """Rows of claims that want a replica (`Claim.place`); the others are not stored."""

    async def put(self, endpoint_id: str, claims: Sequence[Claim]) -> None:
        """Replaces what the endpoint has claimed; it must exist, unless nothing is claimed."""
        ...

    async def of(self, endpoint_id: str) -> Sequence[Claim]:
        """What an endpoint has claimed, by spec and device."""
        ...

    async def all(self) -> Mapping[str, Sequence[Claim]]:
        """What all endpoints have claimed, by their ids; those without a claim are left out."""
        ...
