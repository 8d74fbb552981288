"""Tokens that are fetched, and kept until shortly before they expire."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from penstock.domain.secret import Hidden
from penstock.ports.clock import Clock

EARLY_S = 120.0
"""How long before its end a token is not used any more."""
Who = TypeVar("Who", bound=Hashable)


@dataclass(slots=True)
class _Kept:
    token: Hidden | None = None
    good_until: float = 0.0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class TokenKeeper(Generic[Who]):
    """Tokens by whose they are; `fetch` gets one, and for how many seconds it is good. Belongs to one event loop."""

    def __init__(self, clock: Clock, fetch: Callable[[Who], Awaitable[tuple[str, float]]]) -> None:
        self._clock = clock
        self._fetch = fetch
        self._kept: dict[Who, _Kept] = {}

    async def token(self, who: Who) -> Hidden:
        """A token that is good now; only one request at a time fetches a new one. Raises what `fetch` raises."""
        kept = self._kept.setdefault(who, _Kept())
        async with kept.turn:
            if kept.token is None or self._clock.monotonic() >= kept.good_until:
                token, seconds = await self._fetch(who)
                kept.token = Hidden(token)
                kept.good_until = self._clock.monotonic() + max(seconds - EARLY_S, 0.0)
            return kept.token

    def refused(self, who: Who) -> None:
        """Its token was not accepted: the next one is fetched."""
        self._kept.pop(who, None)
