"""Whether everything that the server needs answers."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from penstock.domain.errors import PenstockError

PATIENCE_S = 2.0


class Health:
    """Services by name, each with a question that returns if it is well and raises a PenstockError if not."""

    def __init__(self, services: Mapping[str, Callable[[], Awaitable[object]]]) -> None:
        self._services = dict(services)

    async def ask(self) -> dict[str, str]:
        """Each service's answer, asked at the same time: "ok", or what is wrong."""
        answers = await asyncio.gather(*(self._ask(question) for question in self._services.values()))
        return dict(zip(self._services, answers, strict=True))

    async def _ask(self, question: Callable[[], Awaitable[object]]) -> str:
        asked = asyncio.ensure_future(question())
        asked.add_done_callback(_heard)
        try:
            await asyncio.wait((asked,), timeout=PATIENCE_S)
        finally:
            # Not waited for: what hangs may take long to give up.
            asked.cancel()
        if not asked.done():
            return f"no answer within {PATIENCE_S:.0f} s"
        error = asked.exception()
        if isinstance(error, PenstockError):
            return error.message
        if error is not None:
            raise error
        return "ok"


def _heard(asked: asyncio.Future[object]) -> None:
    """An error that comes after nobody waits for it any more is not told of as one that was forgotten."""
    if not asked.cancelled():
        asked.exception()
