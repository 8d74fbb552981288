"""Whether something else had the machine: its processors' time that was not ours."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

OTHERS = 0.05
"""A machine of whose cores others had more than that part is disturbed."""
IDLE, WAITING, STEAL = 3, 4, 7
"""Columns of /proc/stat."""


@dataclass(frozen=True, slots=True)
class Used:
    """Processor seconds so far: of this process and its children, of everybody, and what the host kept from us."""

    at: float
    ours: float
    all: float
    stolen: float

    def others(self, later: "Used") -> float:
        """Cores that others had from this moment to a later one."""
        foreign = (later.all - self.all) - (later.ours - self.ours) + later.stolen - self.stolen
        return max(0.0, foreign / max(later.at - self.at, 1e-9))


def is_disturbed(others: float) -> bool:
    """Whether so many cores are too many for others to have had."""
    return others > OTHERS * (os.cpu_count() or 1)


def used() -> Used:
    """Now."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    tick = os.sysconf("SC_CLK_TCK")
    busy = sum(ticks[:STEAL]) - ticks[IDLE] - ticks[WAITING]
    return Used(time.monotonic(), _ours(), busy / tick, ticks[STEAL] / tick)


def _ours() -> float:
    here = psutil.Process()
    seconds = 0.0
    for one in (here, *here.children(recursive=True)):
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        seconds += times.user + times.system + times.children_user + times.children_system
    return seconds
