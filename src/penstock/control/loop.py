"""The runner of every loop: one public step, run again and again; it never dies and backs off when the step fails."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from penstock.domain.errors import Temporary
from penstock.ports.clock import Clock

FIRST_BACK_OFF_S = 1.0
LAST_BACK_OFF_S = 30.0

_log = logging.getLogger(__name__)


class Loop:
    """Runs `step` every `period_s` seconds, and sooner when hinted.

    A step does one cycle of work and returns one sentence that says what it did, or an empty string if it did nothing.
    It can be called by itself, in a test for example. A step that raises is logged and tried again after a delay that
    doubles from 1 to 30 seconds, or after what a `Temporary` asks for; hints wait for the end of that delay.
    A step may change `period_s`.
    """

    def __init__(self, name: str, step: Callable[[], Awaitable[str]], clock: Clock, *, period_s: float) -> None:
        self.name = name
        self.failures = 0
        self.succeeded_at = 0
        """When the last step that did not fail ended, epoch milliseconds; 0 if none has."""
        self.last_sentence = ""
        self._step = step
        self._clock = clock
        self.period_s = period_s
        self._hinted = asyncio.Event()

    def hint(self) -> None:
        """Something changed: run a step now, or once more after the running one. Safe to repeat; returns at once."""
        self._hinted.set()

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            self._hinted.clear()
            delay = await self.cycle()
            if self.failures:
                await self._clock.sleep(delay)
            else:
                await self._rest(delay)

    async def cycle(self) -> float:
        """One guarded step: logs its sentence or its failure, and returns the seconds to wait before the next."""
        try:
            sentence = await self._step()
        except Exception as error:  # noqa: BLE001 - the loop outlives whatever its step meets
            self.failures += 1
            delay = self._back_off(error)
            _log.exception("%s failed (%d times in a row); again in %.0f s", self.name, self.failures, delay)
            return delay
        self.failures = 0
        self.succeeded_at = self._clock.now_ms()
        if sentence:
            self.last_sentence = sentence
            _log.info("%s: %s", self.name, sentence)
        return self.period_s

    def _back_off(self, error: Exception) -> float:
        doubled = FIRST_BACK_OFF_S * 2.0 ** min(self.failures - 1, 10)
        asked = float(error.retry_after_s) if isinstance(error, Temporary) else 0.0
        return min(max(doubled, asked), LAST_BACK_OFF_S)

    async def _rest(self, seconds: float) -> None:
        """Returns after `seconds`, or when hinted."""
        waits = (asyncio.ensure_future(self._clock.sleep(seconds)), asyncio.ensure_future(self._hinted.wait()))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
