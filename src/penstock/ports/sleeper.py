"""Engines that can free their device and go on later, without loading anything again."""

from typing import Protocol


class Sleeper(Protocol):
    """Puts engines to sleep and wakes them. Never raises."""

    async def sleep(self, address: str, limit_s: float) -> bool:
        """Lets requests end, then has the engine free its device; whether that was done within so many seconds."""
        ...

    async def wake(self, address: str) -> bool:
        """Has it take its device again; whether it serves now."""
        ...
