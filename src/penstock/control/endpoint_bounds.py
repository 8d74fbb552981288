"""How many endpoints there may be, and how often they may be created and updated."""

import math
from collections import deque

from penstock.domain.errors import Overloaded, QuotaExceeded
from penstock.ports.clock import Clock

WINDOW_S = 300.0


class EndpointBounds:
    """Allows `endpoints` at a time, and `changes` in any five minutes; 0 changes is no limit."""

    def __init__(self, clock: Clock, *, endpoints: int = 1000, changes: int = 0) -> None:
        self._clock = clock
        self._endpoints = endpoints
        self._changes = changes
        self._began: deque[float] = deque()

    def check_count(self, count: int) -> None:
        """Raises QuotaExceeded if there are so many that none may be added."""
        if count >= self._endpoints:
            raise QuotaExceeded(f"There are {count} serving endpoints; serving.max_endpoints is {self._endpoints}.")

    def take(self) -> None:
        """Counts a change that begins now; raises Overloaded if there were too many."""
        now = self._clock.monotonic()
        while self._began and self._began[0] <= now - WINDOW_S:
            self._began.popleft()
        if self._changes and len(self._began) >= self._changes:
            wait_s = math.ceil(self._began[0] + WINDOW_S - now)
            raise Overloaded(
                f"Serving endpoints were created or updated {len(self._began)} times within {WINDOW_S:.0f} seconds; "
                f"serving.max_changes is {self._changes}. The next change can be made in {wait_s} seconds.",
                wait_s,
            )
        self._began.append(now)
