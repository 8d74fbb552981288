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
        try:
            async with asyncio.timeout(PATIENCE_S):
                await question()
        except TimeoutError:
            return f"no answer within {PATIENCE_S:.0f} s"
        except PenstockError as error:
            return error.message
        return "ok"
