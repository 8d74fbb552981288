"""This machine: engines are processes of ours, each a session of its own; see `penstock.ports.cluster`."""

import asyncio
import contextlib
import os
import platform
import shutil
import signal
import tempfile
import time
from asyncio.subprocess import Process as Child
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from penstock.adapters.child_environment import child_environment
from penstock.adapters.clusters.gpus import GpuDevice
from penstock.domain.errors import EngineFailed, InvalidParameter
from penstock.domain.placement import Device
from penstock.ports.cluster import Process
from penstock.ports.engine import Launch

LOG_LIMIT = 4 * 2**20
"""A log that grows beyond it keeps its last half."""
_SAME_START_S = 2.0
"""Two readings of one process's start differ by less."""
_POLL_S = 0.1
_KILLED_S = 30.0
_SOCKET_LIMIT = 100
"""A Unix socket's path may have 108 bytes."""


class LocalCluster:
    """Processes on this machine. `runtime` is a folder for sockets, `memory_fraction` what engines may take.

    The cores and the memory are divided evenly among `devices` devices; cores that are left over belong to none. Raises
    InvalidParameter if there are fewer cores than devices. `gpus` are devices too, and come first.
    """

    def __init__(
        self, runtime: Path, *, memory_fraction: float, devices: int = 1, gpus: Sequence[GpuDevice] = ()
    ) -> None:
        self._runtime = runtime
        self._memory_fraction = memory_fraction
        self._cores = divided(sorted(os.sched_getaffinity(0)), devices)
        self._gpus = {gpu.name: gpu for gpu in gpus}
        self._sockets: Path | None = None
        self._made: Path | None = None
        self._children: dict[int, tuple[Process, Child]] = {}
        self._logs: dict[int, Path] = {}

    async def devices(self) -> Sequence[Device]:
        """GPUs, and the CPU or its parts."""
        gpus = [Device(one.name, one.device_class, self.usable(one.memory)) for one in self._gpus.values()]
        memory = self.usable(_memory()) // len(self._cores)
        return (*gpus, *(Device(name, self.device_class, memory) for name in self._cores))

    def usable(self, memory: int) -> int:
        """What engines may take of so many bytes."""
        return int(memory * self._memory_fraction)

    @property
    def device_class(self) -> str:
        """What kind of device each part of the CPU is."""
        return device_class(len(self.cores))

    @property
    def cores(self) -> frozenset[int]:
        """The cores of the CPU's first part."""
        return next(iter(self._cores.values()))

    def address(self, replica_id: str) -> str:
        """A Unix socket, in a folder whose path is short enough."""
        if self._sockets is None:
            self._sockets = self._runtime.absolute()
            if len(str(self._sockets)) + len(replica_id) + len("/.sock") > _SOCKET_LIMIT:
                self._sockets = self._made = Path(tempfile.mkdtemp(prefix="penstock-"))
            self._sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
        return f"unix:{self._sockets / replica_id}.sock"

    async def start(self, launch: Launch) -> Process:
        """Starts it, in a session of its own. Its standard input stays open until it ends or we do."""
        cores, gpu = self._cores.get(launch.device), self._gpus.get(launch.device)
        if launch.device and cores is None and gpu is None:
            known = ", ".join((*self._gpus, *self._cores))
            raise EngineFailed(f"There is no device '{launch.device}'; there are: {known}.")
        try:
            launch.log.parent.mkdir(parents=True, exist_ok=True)
            with launch.log.open("ab") as log:
                child = await asyncio.create_subprocess_exec(
                    *launch.command,
                    stdin=asyncio.subprocess.PIPE if launch.stdin_watch else asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=asyncio.subprocess.STDOUT,
                    env=_environment(os.environ, launch) | (gpu.environment if gpu is not None else {}),
                    start_new_session=True,
                )
        except OSError as error:
            raise EngineFailed(f"The engine's process could not be started: {error}") from error
        if cores is not None:
            # Threads that it starts from here on stay there; it has had no time to start any.
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(child.pid, cores)
        process = Process(child.pid, _started(child.pid) or time.time())
        self._children[child.pid] = (process, child)
        self._logs[child.pid] = launch.log
        return process

    async def exit_code(self, process: Process) -> int | None:
        """Of our children as they said; of others only whether they run."""
        child = self._child(process)
        if child is not None:
            log = self._logs.get(process.pid)
            if log is not None:
                _bound(log)
            return child.returncode
        return None if _runs(process) else -1

    async def memory(self, process: Process) -> int:
        """Its private memory, without what it shares or maps from files."""
        return await asyncio.to_thread(_private_memory, process)

    async def stop(self, process: Process, grace_s: float) -> None:
        """Ends the process, then whatever is left of its group."""
        child = self._child(process)
        if await self.exit_code(process) is None:
            _signal(process, signal.SIGTERM)
            if not await self._gone(process, child, grace_s):
                _signal_group(process, signal.SIGKILL)
                await self._gone(process, child, _KILLED_S)
        self._children.pop(process.pid, None)
        self._logs.pop(process.pid, None)

    async def tail(self, log: Path, limit: int) -> str:
        """The end of a log."""
        return await asyncio.to_thread(_tail, log, limit)

    async def forget_logs(self, folder: Path) -> None:
        """Removes a folder."""
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def close(self) -> None:
        """Ends all processes at once, and removes the folder of sockets if it was made for them."""
        running = [process for process, _ in self._children.values()]
        await asyncio.gather(*(self.stop(process, 0.0) for process in running))
        if self._made is not None:
            await asyncio.to_thread(shutil.rmtree, self._made, ignore_errors=True)

    def _child(self, process: Process) -> Child | None:
        known = self._children.get(process.pid)
        return known[1] if known is not None and known[0] == process else None

    async def _gone(self, process: Process, child: Child | None, limit_s: float) -> bool:
        """Waits for the end, at most `limit_s` seconds; whether it came."""
        if child is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(child.wait(), limit_s)
            return child.returncode is not None
        left = limit_s
        while _runs(process) and left > 0:
            await asyncio.sleep(_POLL_S)
            left -= _POLL_S
        return not _runs(process)


def divided(cores: Sequence[int], devices: int) -> dict[str, frozenset[int]]:
    """Equal parts of the cores by the name of their device: `cpu` if there is one, else `cpu0`, `cpu1` and so on.

    Raises InvalidParameter if there are fewer cores than devices.
    """
    each = len(cores) // devices
    if not each:
        raise InvalidParameter(
            f"serving.devices must be at most the number of cores that the server may use ({len(cores)}), "
            f"but is {devices}."
        )
    if devices == 1:
        return {"cpu": frozenset(cores)}
    return {f"cpu{number}": frozenset(cores[number * each : (number + 1) * each]) for number in range(devices)}


def device_class(cores: int | None = None) -> str:
    """What kind of CPU this is, with so many cores or all there are: equal names, comparable measurements."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return f"cpu/{model}/{cores or len(os.sched_getaffinity(0))}"


def _memory() -> int:
    """Bytes of memory this machine has, or this container may use."""
    total = int(psutil.virtual_memory().total)
    with contextlib.suppress(OSError, ValueError):
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return total


def _environment(ours: Mapping[str, str], launch: Launch) -> dict[str, str]:
    kept = child_environment(ours, launch.inherits)
    return {**kept, "PYTHONUNBUFFERED": "1", **dict(launch.environment)}


def _started(pid: int) -> float | None:
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def _runs(process: Process) -> bool:
    """Whether exactly this process runs: ids are used again, starts are not."""
    try:
        found = psutil.Process(process.pid)
        same = abs(found.create_time() - process.started) < _SAME_START_S
        return same and found.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _signal(process: Process, number: signal.Signals) -> None:
    if _runs(process):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process.pid, number)


def _signal_group(process: Process, number: signal.Signals) -> None:
    if _runs(process):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)


def _private_memory(process: Process) -> int:
    if not _runs(process):
        return 0
    try:
        return int(psutil.Process(process.pid).memory_full_info().uss)
    except psutil.Error:
        return 0


def _tail(log: Path, limit: int) -> str:
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - limit, 0))
            content = file.read(limit)
    except OSError:
        return ""
    if size > limit:
        content = content.partition(b"\n")[2] or content
    return content.decode(errors="replace")


def _bound(log: Path) -> None:
    """Cuts a log that grew too large. The writer appends, so it goes on at the new end."""
    with contextlib.suppress(OSError):
        if log.stat().st_size > LOG_LIMIT:
            kept = _tail(log, LOG_LIMIT // 2)
            with log.open("r+b") as file:
                file.truncate()
                file.write(kept.encode())
