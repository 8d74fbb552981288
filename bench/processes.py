"""What the operating system says of a process and its children."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Tree:
    """A process and its children, summed. Megabytes are 2**20 bytes."""

    peak_rss_mb: float
    """Each process's own peak (VmHWM) since it started. File pages in memory count, as they do in RSS."""
    anonymous_mb: float
    """Resident now, and not backed by a file: what cannot be dropped."""
    pss_mb: float
    """Resident now; pages that several processes share are divided between them."""
    cpu_seconds: float


def of_tree(pid: int) -> Tree:
    """Raises psutil.NoSuchProcess if it has ended."""
    root = psutil.Process(pid)
    return _sum([root, *root.children(recursive=True)])


def of_process(pid: int) -> Tree:
    """Without its children. Raises psutil.NoSuchProcess if it has ended."""
    return _sum([psutil.Process(pid)])


def _sum(found: list[psutil.Process]) -> Tree:
    status = [_kilobytes(Path(f"/proc/{each.pid}/status")) for each in found]
    rollup = [_kilobytes(Path(f"/proc/{each.pid}/smaps_rollup")) for each in found]
    times = [each.cpu_times() for each in found]
    return Tree(
        peak_rss_mb=sum(each["VmHWM"] for each in status) / 1024,
        anonymous_mb=sum(each["RssAnon"] for each in status) / 1024,
        pss_mb=sum(each["Pss"] for each in rollup) / 1024,
        cpu_seconds=sum(each.user + each.system for each in times),
    )


def machine() -> str:
    """The processor, its cores and the load, in words."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    name = names[0].split(":", 1)[1].strip() if names else "unknown processor"
    return f"{os.cpu_count()} cores of {name}, load average {os.getloadavg()[0]:.1f}"


def _kilobytes(path: Path) -> dict[str, int]:
    """The lines of a /proc file that say `Name:  n kB`."""
    pairs = (line.split(":", 1) for line in path.read_text().splitlines() if line.rstrip().endswith(" kB"))
    return {name: int(value.split()[0]) for name, value in pairs}
