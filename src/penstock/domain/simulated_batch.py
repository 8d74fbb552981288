"""A batch in virtual time: its rows through production's arbiter and a simulated engine, a window of them at a time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from penstock.domain.fairness import LOW_QUEUE
from penstock.domain.simulated_device import SimulatedDevice
from penstock.domain.simulated_market import Answer, Arrival, Market
from penstock.domain.tenancy import Priority, Terms
from penstock.domain.throughput import divide

MOST_ROWS = 400
"""Rows that are simulated; more take as long as these did while the window was full."""


@dataclass(frozen=True, slots=True)
class SimulatedRow:
    """A row that will use so many tokens; `most_out` is its limit."""

    tokens_in: int
    tokens_out: int
    most_out: int


def batch_seconds(rows: Sequence[SimulatedRow], terms: Terms, window: int, *, total: int) -> float:
    """Seconds for `total` rows like these on a device with nothing else to do, `window` of them sent at a time.

    The device fills at the beginning, and empties while the last rows end; few rows at a time leave it half used.
    """
    if not rows:
        return 0.0
    step = -(-len(rows) // MOST_ROWS)
    few = rows[::step]
    seconds, sent_last = _Batch(terms, window).run(few)
    steady = sent_last / max(len(few) - window, 1) if len(few) > window else seconds / len(few)
    return seconds + (total - len(few)) * steady


class _Batch:
    def __init__(self, terms: Terms, window: int) -> None:
        self._device = SimulatedDevice(Market(terms, divide(terms.throughput), busy=False), 0.0)
        self._device.allot(1, 0.0)
        self._window = min(window, LOW_QUEUE)

    def run(self, rows: Sequence[SimulatedRow]) -> tuple[float, float]:
        """Seconds until the last row has ended, and until it was sent."""
        device, now, sent, sent_last = self._device, 0.0, 0, 0.0
        while sent < len(rows) or device.known:
            while sent < len(rows) and len(device.known) < self._window:
                row = rows[sent]
                answer = Answer(Arrival(now, row.tokens_in, row.tokens_out, row.most_out), served=False)
                device.arrive(str(sent), answer, now, priority=Priority.BATCH)
                sent += 1
                sent_last = now
            device.turn(now, math.inf)
            now = device.wake(now)
            if device.ends_at <= now:
                device.finish(now)
        return now, sent_last
