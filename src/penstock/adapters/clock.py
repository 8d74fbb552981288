"""The real clock: the system's wall clock as it was at the start, run on by a clock that nobody sets.

The system's own is set at times: by hand, by a time server, by a host that resumes a machine. What goes by the wall
clock (tokens' ends, deadlines, the ledger's minutes) would jump with it. Here it does not: small differences are made
up for, and one of more than a second counts only once it has lasted.
"""

import asyncio
import time
from collections.abc import Callable

LASTED_S = 300.0
"""Less than what requests signed by time, to Amazon for one, may be off by."""
STEP_S = 1.0
_NS = 1_000_000_000
_RUNNING = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Goes on while the machine sleeps, where the system has such a clock."""


def _running_ns() -> int:
    return time.clock_gettime_ns(_RUNNING)


class SystemClock:
    """Time of the operating system; see `penstock.ports.clock.Clock`."""

    def __init__(self, wall_ns: Callable[[], int] = time.time_ns, running_ns: Callable[[], int] = _running_ns) -> None:
        """`wall_ns` is the clock that may be set, `running_ns` the one that is not; both in nanoseconds."""
        self._wall_ns = wall_ns
        self._running_ns = running_ns
        self._began = wall_ns() - running_ns()
        self._step = 0
        self._step_at: int | None = None
        self._newest_ms = 0

    def now_ms(self) -> int:
        """Epoch milliseconds; goes back only when the system's clock was set back and stays so."""
        self._newest_ms = max(self._newest_ms, (self._began + self._running_ns()) // 1_000_000)
        return self._newest_ms

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        await asyncio.sleep(seconds)

    async def step(self) -> str:
        """A loop's step: compares with the system's clock, and follows it; says so if it was set."""
        now = self._running_ns()
        ahead = self._wall_ns() - self._began - now
        if abs(ahead) < STEP_S * _NS:
            was_off, self._step_at = self._step_at is not None, None
            self._began += ahead
            return "the system's clock is right again" if was_off else ""
        if self._step_at is None or abs(ahead - self._step) >= STEP_S * _NS:
            self._step, self._step_at = ahead, now
            return f"the system's clock was set by {ahead / _NS:+,.0f} s; that counts if it stays for {LASTED_S:.0f} s"
        if now - self._step_at < LASTED_S * _NS:
            return ""
        self._began += ahead
        self._step_at, self._newest_ms = None, 0
        return f"the system's clock, which was set by {ahead / _NS:+,.0f} s, is followed"
