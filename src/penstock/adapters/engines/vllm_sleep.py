"""Puts vLLM to sleep, its weights in the machine's memory, and wakes it."""

from http import HTTPStatus

from penstock.adapters.engines.client import AWAY, session_with

WAKE_S = 120.0
_LEVEL = "1"
"""Weights are kept in the machine's memory; at the next level they would have to be loaded again."""


class VllmSleeper:
    """See `penstock.ports.sleeper.Sleeper`. The engine must run in development mode, with its sleep mode enabled."""

    async def sleep(self, address: str, limit_s: float) -> bool:
        """POST /sleep, which waits for what runs."""
        return await _posted(address, "/sleep", {"level": _LEVEL, "mode": "wait"}, limit_s) and await _sleeps(address)

    async def wake(self, address: str) -> bool:
        """POST /wake_up."""
        return await _posted(address, "/wake_up", {}, WAKE_S) and not await _sleeps(address)


async def _posted(address: str, path: str, query: dict[str, str], limit_s: float) -> bool:
    try:
        async with session_with(address, limit_s) as session, session.post(path, params=query) as answer:
            return answer.status == HTTPStatus.OK
    except AWAY:
        return False


async def _sleeps(address: str) -> bool:
    """As it says itself: it answers before it is done."""
    try:
        async with session_with(address, WAKE_S) as session, session.get("/is_sleeping") as answer:
            told = await answer.json(content_type=None)
    except (*AWAY, ValueError):
        return False
    return isinstance(told, dict) and told.get("is_sleeping") is True
