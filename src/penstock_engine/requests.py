"""The requests under way, by their ids, and what the last ended ones have used."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from msgspec import Struct

_REMEMBERED = 1024
"""Ended requests whose usage is still told: who hangs up and then asks must get an answer."""


class Used(NamedTuple):
    """What a request has used: tokens as answers tell them, and seconds of the device."""

    usage: Struct
    seconds: float


class Running(Protocol):
    """A request that can be cancelled and says what it has used."""

    over: asyncio.Event
    """Set once nothing more is computed for it."""

    def cancel(self) -> None:
        """End it within a step."""

    @property
    def seconds(self) -> float:
        """Of the device's time so far."""

    def usage(self) -> Struct:
        """Tokens so far."""


class Requests:
    """Lives on the event loop. Ids are the callers'; of two running requests with one id the newer answers to it."""

    def __init__(self) -> None:
        self._by_id: dict[str, Running] = {}
        self._running: set[Running] = set()
        self._ended: OrderedDict[str, Used] = OrderedDict()
        self._idle = asyncio.Event()
        self._idle.set()

    def enter(self, name: str, request: Running) -> None:
        """A request has begun."""
        self._by_id[name] = request
        self._running.add(request)
        self._idle.clear()

    def leave(self, name: str, request: Running) -> None:
        """A request has ended."""
        self._running.discard(request)
        if self._by_id.get(name) is request:
            del self._by_id[name]
        self._ended[name] = Used(request.usage(), request.seconds)
        self._ended.move_to_end(name)
        if len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)
        if not self._running:
            self._idle.set()

    async def cancel(self, name: str) -> Used | None:
        """End a request and return what it has used; also of one that has just ended; None if there is none."""
        running = self._by_id.get(name)
        if running is None:
            return self._ended.get(name)
        running.cancel()
        await running.over.wait()
        return Used(running.usage(), running.seconds)

    def cancel_all(self) -> None:
        """End everything that runs."""
        for request in list(self._running):
            request.cancel()

    async def idle(self, seconds: float) -> bool:
        """Wait until nothing runs, so long at most; whether that is so."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), seconds)
        return not self._running
