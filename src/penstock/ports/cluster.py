"""Where engine processes run: devices, starting, watching, stopping."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from penstock.domain.placement import Device
from penstock.ports.engine import Launch


@dataclass(frozen=True, slots=True)
class Process:
    """A process beyond doubt: its id and when it started (epoch seconds)."""

    pid: int
    started: float


class Cluster(Protocol):
    """Processes on devices. Nothing here raises for a process that is already gone."""

    async def devices(self) -> Sequence[Device]:
        """The devices that engines can run on."""
        ...

    async def start(self, launch: Launch) -> Process:
        """Starts a process that ends with this one, even when this one is killed; raises EngineFailed if it cannot."""
        ...

    async def exit_code(self, process: Process) -> int | None:
        """The exit status of a process that has ended (-1 if unknown), None while it runs."""
        ...

    async def memory(self, process: Process) -> int:
        """Bytes of memory the process holds by itself, 0 if it is gone."""
        ...

    async def stop(self, process: Process, grace_s: float) -> None:
        """Ends a process: SIGTERM, and SIGKILL after `grace_s` seconds. Returns when it is gone."""
        ...

    async def tail(self, launch_log: str, limit: int) -> str:
        """The last `limit` bytes of a log, as text; empty if there is none."""
        ...
