"""How fast devices are with their engines' kernels: a short measurement in a process of its own, kept in a file.

The server imports neither the kernels nor numpy; this file run as a program does, for CPUs.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from penstock.adapters.asked_program import Printed, ask_program
from penstock.adapters.child_environment import child_environment
from penstock.domain.errors import EngineFailed
from penstock.domain.estimate import Speed

TIMEOUT_S = 60.0
_ROWS = 512
_SIZE = 2048
_REPEATS = 8
_COPY_BYTES = 128 * 2**20


class DeviceGauge:
    """The speed of one kind of device. `path` keeps the result for `key`: the device and the engine.

    `command`, run with `variables` more, prints operations and bytes per second.
    """

    def __init__(
        self, path: Path, key: str, command: Sequence[str], variables: Mapping[str, str] | None = None
    ) -> None:
        self._path = path
        self._key = key
        self._command = command
        self._variables = variables or {}
        self._speed: Speed | None = None
        self._lock = asyncio.Lock()

    async def speed(self) -> Speed:
        """From memory, from the file, or measured now; raises EngineFailed if that does not work."""
        async with self._lock:
            if self._speed is None:
                self._speed = self._kept() or await self._measured()
            return self._speed

    def _kept(self) -> Speed | None:
        try:
            kept = json.loads(self._path.read_text())
            return Speed(**kept["speed"]) if kept["key"] == self._key else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    async def _measured(self) -> Speed:
        variables = child_environment(os.environ) | dict(self._variables)
        try:
            printed = await ask_program(*self._command, environment=variables, within_s=TIMEOUT_S)
        except TimeoutError as error:
            raise EngineFailed("The device's speed could not be measured in time.") from error
        except OSError as error:
            raise EngineFailed(f"The device's speed could not be measured: {error}") from error
        speed = _speed(printed)
        content = {"key": self._key, "speed": asdict(speed)}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(content))
        return speed


def _speed(printed: Printed) -> Speed:
    why = printed.errors
    if printed.status == 0:
        try:
            operations, read = (float(word) for word in printed.out.split())
            return Speed(operations, read)
        except ValueError:
            why = f"it printed {printed.out!r:.400}"
    raise EngineFailed(f"The device's speed could not be measured: {why[-500:]}")


class CpuGauge(DeviceGauge):
    """The speed of a CPU. `cores` are those of the device; None: all there are."""

    def __init__(self, path: Path, key: str, cores: Iterable[int] | None = None) -> None:
        super().__init__(path, key, (sys.executable, "-m", __name__, *(str(core) for core in sorted(cores or ()))))


class Gauges:
    """See `penstock.ports.engine.Gauge`. One for each kind of device."""

    def __init__(self, gauges: Mapping[str, DeviceGauge]) -> None:
        self._gauges = gauges

    async def speed(self, kind: str) -> Speed:
        """That of the kind; raises EngineFailed if there is no such device, or it cannot be measured."""
        gauge = self._gauges.get(kind)
        if gauge is None:
            raise EngineFailed(f"There is no device of the kind '{kind}'.")
        return await gauge.speed()


def main() -> None:
    """Prints operations and bytes per second: an int8 matrix product as engines run it, and reading memory.

    Arguments are the cores to use; none: all.
    """
    if sys.argv[1:]:
        os.sched_setaffinity(0, [int(core) for core in sys.argv[1:]])
    import numpy as np
    import openvino as ov
    from openvino import opset13 as op

    weights = np.zeros((_SIZE, _SIZE), np.uint8)
    given = op.parameter([-1, _SIZE], np.float32)
    scaled = op.multiply(op.convert(op.constant(weights), "f32"), op.constant(np.ones((_SIZE, 1), np.float32)))
    graph = ov.Model([op.result(op.matmul(given, scaled, False, True))], [given], "gauge")
    run = ov.Core().compile_model(graph, "CPU", {"PERFORMANCE_HINT": "LATENCY"}).create_infer_request()
    rows = np.ones((_ROWS, _SIZE), np.float32)
    run.infer([rows])
    best = min(_timed(lambda: run.infer([rows])) for _ in range(_REPEATS))
    big = np.ones(_COPY_BYTES // 8, np.float64)
    read = min(_timed(big.sum) for _ in range(3))
    sys.stdout.write(f"{2 * _ROWS * _SIZE * _SIZE / best} {_COPY_BYTES / read}\n")


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
