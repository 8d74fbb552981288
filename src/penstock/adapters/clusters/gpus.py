"""The NVIDIA GPUs of this machine, as its driver's own program tells of them."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from penstock.adapters.asked_program import ask_program
from penstock.adapters.child_environment import child_environment
from penstock.domain.errors import InvalidParameter

PROGRAM = "nvidia-smi"
ASK_S = 30.0
MIB = 2**20
_QUERY = ("--query-gpu=index,uuid,name,memory.total", "--format=csv,noheader,nounits")
_VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU: its number on the bus, its identity, its model's name and its bytes of memory."""

    number: int
    uuid: str
    name: str
    memory: int


@dataclass(frozen=True, slots=True)
class GpuDevice:
    """GPUs that compute together, as one device. `memory` is that of all."""

    name: str
    device_class: str
    numbers: tuple[int, ...]
    memory: int

    @property
    def environment(self) -> dict[str, str]:
        """What makes a process see these and no others. By numbers: not every engine takes other names."""
        return {_VISIBLE: ",".join(str(number) for number in self.numbers), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


async def find_gpus(program: str = PROGRAM, environment: Mapping[str, str] | None = None) -> Sequence[Gpu]:
    """Those that this process may use (CUDA_VISIBLE_DEVICES), by number; none without a driver or while it fails."""
    ours = os.environ if environment is None else environment
    try:
        printed = await ask_program(program, *_QUERY, environment=child_environment(os.environ), within_s=ASK_S)
    except (OSError, TimeoutError):
        return ()
    return visible(read_gpus(printed.out), ours) if printed.status == 0 else ()


def read_gpus(table: str) -> Sequence[Gpu]:
    """From the lines `index, uuid, name, MiB`; a line that says anything else, such as [N/A], is no GPU to serve on."""
    found = []
    for line in table.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == len(Gpu.__slots__) and parts[0].isdecimal() and parts[3].isdecimal():
            found.append(Gpu(int(parts[0]), parts[1], parts[2], int(parts[3]) * MIB))
    return sorted(found, key=lambda gpu: gpu.number)


def visible(gpus: Sequence[Gpu], environment: Mapping[str, str]) -> Sequence[Gpu]:
    """Those that CUDA_VISIBLE_DEVICES leaves, by number or by (the beginning of) identity; all where it is not set."""
    told = environment.get(_VISIBLE)
    if told is None:
        return gpus
    names = [name.strip() for name in told.split(",") if name.strip()]
    return [gpu for gpu in gpus if any(_is(gpu, name) for name in names)]


def _is(gpu: Gpu, name: str) -> bool:
    return gpu.number == int(name) if name.isdecimal() else gpu.uuid.startswith(name)


def grouped(gpus: Sequence[Gpu], each: int) -> Sequence[GpuDevice]:
    """Devices of so many GPUs, all of the first one's model; what is left over belongs to none.

    Raises InvalidParameter if there are fewer GPUs than one device takes.
    """
    alike = [gpu for gpu in gpus if gpu.name == gpus[0].name]
    count = len(alike) // each
    if gpus and not count:
        raise InvalidParameter(
            f"'vllm.gpus_per_device' must be at most the number of GPUs that are alike ({len(alike)}, {gpus[0].name}), "
            f"but is {each}."
        )
    parts = [alike[number * each : (number + 1) * each] for number in range(count)]
    memory = each * min((gpu.memory for gpu in alike), default=0)
    return [
        GpuDevice(f"gpu{number}", f"gpu/{part[0].name}/{each}", tuple(gpu.number for gpu in part), memory)
        for number, part in enumerate(parts)
    ]
