"""What this process, its engines and the machine take."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class MachineFigures:
    """`cpu_percent` of the machine is the mean since the last time it was read; `started_at` is epoch seconds.

    `engines_bytes` is the resident memory of the processes that this one has started, of which there are `engines`.
    """

    cpu_percent: float
    memory_percent: float
    resident_bytes: int
    virtual_bytes: int
    cpu_s: float
    open_files: int
    threads: int
    started_at: float
    engines: int
    engines_bytes: int


class Machine(Protocol):
    """Looks at the operating system. Takes some milliseconds, in which it blocks: not for the event loop."""

    def read(self) -> MachineFigures:
        """As it is now."""
        ...
