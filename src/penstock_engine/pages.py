"""Huge pages for what every step reads from end to end: the KV cache, and the weights as the kernels packed them.

In pages of 4 KiB a tenth of a decode step goes into finding addresses. All of this is advice to the system: where it
has no huge pages or no such call, nothing changes.
"""

from __future__ import annotations

import ctypes
import mmap
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

HUGE = 2 << 20
"""Bytes of a huge page; other sizes exist, on other machines."""
LEAST = 8 * HUGE
"""Smaller regions are the allocator's, with holes that huge pages would fill."""
MAPS = Path("/proc/self/maps")
_MADV_HUGEPAGE, _MADV_COLLAPSE = 14, 25
_FIELDS_OF_UNNAMED = 5


def zeros(size: int) -> NDArray[np.uint8]:
    """Memory of its own for `size` bytes, taken from the system as it is first written to, in huge pages."""
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return np.zeros(size, np.uint8)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, np.uint8)


def gather_large_regions() -> int:
    """Move what is in memory into huge pages, where a region is large; the bytes that were asked for."""
    try:
        maps = MAPS.read_text("ascii", "replace").splitlines()
        advise = ctypes.CDLL(None).madvise
    except (OSError, AttributeError):
        return 0
    total = 0
    for start, end in large_regions(maps):
        for advice in (_MADV_HUGEPAGE, _MADV_COLLAPSE):  # a system that does not know the second does it in its time
            advise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), advice)
        total += end - start
    return total


def large_regions(maps: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Start and end of each large region of private writable memory without a file, whole huge pages only."""
    for line in maps:
        fields = line.split()
        if len(fields) == _FIELDS_OF_UNNAMED and fields[1] == "rw-p":
            first, last = (int(number, 16) for number in fields[0].split("-"))
            start, end = -(-first // HUGE) * HUGE, last // HUGE * HUGE
            if end - start >= LEAST:
                yield start, end
