"""Time, so that tests can run it."""

from typing import Protocol


class Clock(Protocol):
    """Now, and waiting. Safe from any task."""

    def now_ms(self) -> int:
        """Wall-clock time, epoch milliseconds."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean anything."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Returns after `seconds`; cancellable."""
        ...
