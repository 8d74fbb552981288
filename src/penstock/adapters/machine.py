"""What this process, its children and the machine take, by psutil."""

import psutil

from penstock.ports.machine import MachineFigures


class PsutilMachine:
    """See `penstock.ports.machine.Machine`."""

    def __init__(self) -> None:
        self._own = psutil.Process()
        # The first reading is since now.
        psutil.cpu_percent(interval=None)

    def read(self) -> MachineFigures:
        """Reads it from the operating system."""
        with self._own.oneshot():
            memory, times = self._own.memory_info(), self._own.cpu_times()
            open_files, threads, started_at = self._own.num_fds(), self._own.num_threads(), self._own.create_time()
        children = [_resident(child) for child in self._own.children(recursive=True)]
        return MachineFigures(
            cpu_percent=psutil.cpu_percent(interval=None),
            memory_percent=psutil.virtual_memory().percent,
            resident_bytes=memory.rss,
            virtual_bytes=memory.vms,
            cpu_s=times.user + times.system,
            open_files=open_files,
            threads=threads,
            started_at=started_at,
            engines=len(children),
            engines_bytes=sum(children),
        )


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        # It has ended meanwhile.
        return 0
