"""What is held of the devices now, by holder: endpoints, and engines that are started to measure. In memory."""

import asyncio

from penstock.domain.placement import Claim, Reservation, places, reservations


class Holdings:
    """Claims by the id of their holder. Whoever decides by them and then holds does both under `lock`."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self._held: dict[str, tuple[str, tuple[Claim, ...]]] = {}

    def hold(self, key: str, name: str, claims: tuple[Claim, ...]) -> None:
        """Replaces what the holder has; `name` is for sentences."""
        self._held[key] = (name, claims)

    def drop(self, key: str) -> None:
        """The holder has nothing any more. Safe to repeat."""
        self._held.pop(key, None)

    def claims(self, key: str) -> tuple[Claim, ...]:
        """What the holder has."""
        return self.held(key)[1]

    def held(self, key: str) -> tuple[str, tuple[Claim, ...]]:
        """The holder's name, and what it has."""
        return self._held.get(key, ("", ()))

    def holders(self, spec: str) -> list[str]:
        """Who has something of that spec."""
        return [key for key, (_, claims) in self._held.items() if any(one.spec == spec for one in claims)]

    def others(self, key: str) -> list[Reservation]:
        """What all but that holder have."""
        rest = [held for other, held in self._held.items() if other != key]
        return [one for name, claims in rest for one in reservations(name, claims)]

    def shared(self, key: str) -> frozenset[tuple[str, str]]:
        """The (spec, device) pairs where others want a replica."""
        return places(claim for other, held in self._held.items() if other != key for claim in held[1])
