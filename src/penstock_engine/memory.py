"""How much memory can be taken now, and giving back what is free."""

from __future__ import annotations

import ctypes
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
LIMIT, USED = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
KIB = 1024


def available_memory() -> int | None:
    """Bytes that the system, or the container around the process, still has; None where neither tells."""
    found = [each for each in (_system(), _container()) if each is not None]
    return min(found, default=None)


def give_back_free_memory() -> None:
    """Arrays of many megabytes leave holes that the C library would keep: once the whole model's size."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries than GNU's give back by themselves
    if trim is not None:
        trim(0)


def _system() -> int | None:
    try:
        lines = MEMINFO.read_text("ascii").splitlines()
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    amount = fields.get("MemAvailable", "").split()
    return int(amount[0]) * KIB if amount else None


def _container() -> int | None:
    try:
        limit, used = LIMIT.read_text("ascii").strip(), USED.read_text("ascii").strip()
    except OSError:
        return None
    return max(int(limit) - int(used), 0) if limit.isdigit() and used.isdigit() else None
