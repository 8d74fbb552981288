"""Where engine processes run: devices, starting, watching, stopping."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
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
        """The devices that engines run on: at least one, always the same, in a fixed order; of a kind, all alike."""
        ...

    def address(self, replica_id: str) -> str:
        """Where that replica's engine is to listen: "unix:PATH" or "http://127.0.0.1:PORT"."""
        ...

    async def start(self, launch: Launch) -> Process:
        """Starts a process on the launch's device; it ends with this one, even when this one is killed.

        Raises EngineFailed if it cannot be started, or there is no such device.
        """
        ...

    async def exit_code(self, process: Process) -> int | None:
        """The exit status of a process that has ended (-1 if unknown, -N for signal N), None while it runs."""
        ...

    async def memory(self, process: Process) -> int:
        """Bytes of memory the process holds by itself, 0 if it is gone."""
        ...

    async def stop(self, process: Process, grace_s: float) -> None:
        """Ends a process with all that it started: SIGTERM, and SIGKILL after `grace_s` seconds.

        Returns when it is gone. Safe to repeat, also while another call waits; no other process is ever touched, also
        when the id has been given to one.
        """
        ...

    async def tail(self, log: Path, limit: int) -> str:
        """The last `limit` bytes of a log, as text; empty if there is none. Logs are bounded: old lines are lost."""
        ...

    async def forget_logs(self, folder: Path) -> None:
        """Removes a folder of logs. Safe to repeat."""
        ...
