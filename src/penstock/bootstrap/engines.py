"""Chooses engines and devices: the CPU engine, and vLLM where it is set."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from penstock.adapters.clusters.gpus import GpuDevice, find_gpus, grouped
from penstock.adapters.clusters.local import LocalCluster
from penstock.adapters.clusters.sleeping import SleepingCluster
from penstock.adapters.engines import gpu_speed
from penstock.adapters.engines.choice import ChosenRecipe
from penstock.adapters.engines.cpu import CpuRecipe
from penstock.adapters.engines.gauge import CpuGauge, DeviceGauge, Gauges
from penstock.adapters.engines.vllm import VllmRecipe, vllm_version
from penstock.adapters.engines.vllm_sleep import VllmSleeper
from penstock.domain.errors import InvalidParameter
from penstock.domain.vllm_plan import Hardware, Wishes
from penstock.ports.cluster import Cluster
from penstock.ports.engine import EngineRecipe
from penstock.settings import Settings


@dataclass(frozen=True, slots=True)
class Engines:
    """Where engines run, how they are run, and how fast the devices are."""

    cluster: Cluster
    recipe: EngineRecipe
    gauge: Gauges


async def make_engines(settings: Settings, stack: AsyncExitStack) -> Engines:
    """The engines, ended with us; raises InvalidParameter naming a setting of vLLM's that does not fit the machine."""
    given, serving = settings.vllm, settings.serving
    told = {"vllm.python": given.python, "vllm.older_python": given.older_python}
    pythons = {key: python for key, python in told.items() if python}
    gpus = await _gpus(settings, next(iter(pythons))) if pythons else ()
    folder = settings.data_dir.absolute() / "engines"
    cluster = LocalCluster(
        folder / "run", memory_fraction=serving.device_memory_fraction, devices=serving.devices, gpus=gpus
    )
    stack.push_async_callback(cluster.close)
    cpu = CpuRecipe(max_queue=settings.gateway.replica_max_queue)
    gauges: dict[str, DeviceGauge] = {
        "cpu": CpuGauge(folder / "speed.json", f"{cluster.device_class} {cpu.version}", cluster.cores)
    }
    recipes: list[EngineRecipe] = []
    for key, python in pythons.items():
        version = await vllm_version(python, key)
        recipes.append(await _vllm(settings, python, version, cluster, gpus))
        if gpus and "gpu" not in gauges:
            gauges["gpu"] = _gpu_gauge(python, version, gpus[0], folder)
    recipe: EngineRecipe = ChosenRecipe([*recipes, cpu]) if recipes else cpu
    sleeps = gpus and given.sleeping
    where: Cluster = SleepingCluster(cluster, VllmSleeper(), most=given.sleeping) if sleeps else cluster
    return Engines(where, recipe, Gauges(gauges))


async def _gpus(settings: Settings, key: str) -> Sequence[GpuDevice]:
    if settings.vllm.on_cpu:
        return ()
    found = grouped(await find_gpus(), settings.vllm.gpus_per_device)
    if not found:
        raise InvalidParameter(
            f"'{key}' is set, but nvidia-smi shows no GPU: unset it, or set 'vllm.on_cpu' if it is a vLLM for CPUs."
        )
    return found


async def _vllm(
    settings: Settings, python: str, version: str, cluster: LocalCluster, gpus: Sequence[GpuDevice]
) -> VllmRecipe:
    given = settings.vllm
    wishes = Wishes(given.max_running, given.adapters, given.adapter_rank, sleeps=given.sleeping > 0)
    if gpus:
        place = Hardware(len(gpus[0].numbers), gpus[0].memory, cluster.usable(gpus[0].memory))
    else:
        memory = (await cluster.devices())[0].memory
        place = Hardware(0, memory, memory)
    return VllmRecipe(python, version, place, wishes, max_queue=settings.gateway.replica_max_queue)


def _gpu_gauge(python: str, version: str, device: GpuDevice, folder: Path) -> DeviceGauge:
    command, key = (python, "-I", gpu_speed.__file__), f"{device.device_class} {version}"
    return DeviceGauge(folder / "gpu-speed.json", key, command, device.environment)
