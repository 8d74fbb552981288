"""GPUs as the driver's program tells of them, and how they become devices."""

import os
import sys

import pytest

from penstock.adapters.clusters.gpus import MIB, Gpu, find_gpus, grouped, read_gpus, visible
from penstock.adapters.clusters.local import LocalCluster
from penstock.domain.errors import InvalidParameter
from penstock.ports.engine import Launch

TABLE = """1, GPU-bb, NVIDIA H100 80GB HBM3, 81559
0, GPU-aa, NVIDIA H100 80GB HBM3, 81559
2, GPU-cc, NVIDIA T4, 15360
3, GPU-dd, NVIDIA T4, [N/A]
nothing to see
"""
GPUS = read_gpus(TABLE)


def driver(tmp_path, text, status=0):
    program = tmp_path / "nvidia-smi"
    program.write_text(
        f"#!{sys.executable}\nimport sys\n"
        f"assert sys.argv[1].startswith('--query-gpu=index,')\nprint({text!r}, end='')\nsys.exit({status})\n"
    )
    program.chmod(0o755)
    return str(program)


def test_the_table_is_read_by_number_and_what_has_no_memory_to_give_is_left_out():
    assert [(gpu.number, gpu.uuid) for gpu in GPUS] == [(0, "GPU-aa"), (1, "GPU-bb"), (2, "GPU-cc")]
    assert GPUS[0].memory == 81_559 * MIB


@pytest.mark.parametrize(
    ("told", "numbers"),
    [(None, [0, 1, 2]), ("1", [1]), ("GPU-c,0", [0, 2]), ("", []), ("-1", [])],
)
def test_only_what_cuda_visible_devices_leaves_is_used(told, numbers):
    environment = {} if told is None else {"CUDA_VISIBLE_DEVICES": told}
    assert [gpu.number for gpu in visible(GPUS, environment)] == numbers


async def test_without_a_driver_or_with_one_that_fails_there_are_none(tmp_path):
    assert len(await find_gpus(driver(tmp_path, TABLE), {})) == 3
    assert not await find_gpus(driver(tmp_path, "Failed to initialize NVML", status=9), {})
    assert not await find_gpus(str(tmp_path / "no-such-program"), {})


def test_gpus_of_one_model_become_devices_of_as_many_as_compute_together():
    one, two = grouped(GPUS, 1)
    assert (one.name, one.numbers, two.name, two.numbers) == ("gpu0", (0,), "gpu1", (1,))
    assert one.device_class == two.device_class == "gpu/NVIDIA H100 80GB HBM3/1"
    (both,) = grouped(GPUS, 2)
    assert (both.numbers, both.memory) == ((0, 1), 2 * 81_559 * MIB)
    assert both.environment == {"CUDA_VISIBLE_DEVICES": "0,1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    with pytest.raises(InvalidParameter, match=r"vllm.gpus_per_device.*\(2, NVIDIA H100"):
        grouped(GPUS, 3)
    assert not grouped([], 4)


async def test_a_cluster_has_its_gpus_first_and_shows_each_process_its_own(tmp_path):
    cluster = LocalCluster(tmp_path / "run", memory_fraction=0.5, gpus=grouped([Gpu(5, "GPU-ee", "A", 10 * MIB)], 1))
    gpu, cpu = await cluster.devices()
    assert (gpu.name, gpu.kind, gpu.memory, cpu.name, cpu.kind) == ("gpu0", "gpu", 5 * MIB, "cpu", "cpu")
    log = tmp_path / "log"
    says = "import os; print(os.environ.get('CUDA_VISIBLE_DEVICES', 'any'), len(os.sched_getaffinity(0)))"
    for device in ("gpu0", "cpu"):
        process = await cluster.start(Launch((sys.executable, "-c", says), (), log, device=device))
        await cluster._children[process.pid][1].wait()
    cores = len(os.sched_getaffinity(0))
    inherited = os.environ.get("CUDA_VISIBLE_DEVICES", "any")
    assert (await cluster.tail(log, 100)).splitlines() == [f"5 {cores}", f"{inherited} {cores}"]
    await cluster.close()
