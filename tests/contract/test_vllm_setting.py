"""Which engines and devices a server has, by its settings and the machine's GPUs."""

import os
import sys
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.adapters.clusters.sleeping import SleepingCluster
from penstock.adapters.engines.cpu import CpuRecipe
from penstock.bootstrap.engines import make_engines
from penstock.domain.errors import InvalidParameter
from penstock.domain.model import ModelFacts, Precision, Shape, Task
from penstock.settings import Settings

LLAMA = ModelFacts(
    Task.CHAT, "llama", "LlamaForCausalLM", 10**9, 2 * 10**9, 4096, Shape(16, 2048, 8192, 32, 8, 64, 32_000),
    True, True, None,
)  # fmt: skip
MPT = replace(LLAMA, architecture="MPTForCausalLM")
CARD = "NVIDIA A100-SXM4-80GB, 81920"


def program(path, text):
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """An environment that has vLLM, and what is to be said of GPUs."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    played = Path(__file__).with_name("played_vllm.py").read_text()
    gpus = tmp_path / "gpus"
    gpus.write_text(f"0, GPU-a, {CARD}\n1, GPU-b, {CARD}\n")
    program(tmp_path / "nvidia-smi", f"print(open({str(gpus)!r}).read())\n")
    return program(tmp_path / "newer", played), program(tmp_path / "older", played.replace("0.33.0", "0.28.0")), gpus


async def made(tmp_path, stack, **given):
    return await make_engines(Settings.model_validate({"data_dir": tmp_path / "data", "vllm": given}), stack)


async def test_gpus_are_devices_and_each_model_is_served_where_it_can_be(machine, tmp_path):
    newer, older, _ = machine
    async with AsyncExitStack() as stack:
        engines = await made(tmp_path, stack, python=newer, sleeping=1)
        names = [device.name for device in await engines.cluster.devices()]
        assert names == ["gpu0", "gpu1", "cpu"]
        assert isinstance(engines.cluster, SleepingCluster)
        assert engines.recipe.engine(LLAMA, Precision.BF16) == "vllm 0.33.0"
        assert engines.recipe.runs_on(MPT, Precision.BF16) == "cpu"
    async with AsyncExitStack() as stack:
        engines = await made(tmp_path, stack, python=newer, older_python=older, gpus_per_device=2)
        assert [device.name for device in await engines.cluster.devices()] == ["gpu0", "cpu"]
        assert engines.recipe.engine(MPT, Precision.BF16) == "vllm 0.28.0"


async def test_a_vllm_for_cpus_serves_before_the_cpu_engine_and_takes_no_gpu(machine, tmp_path):
    async with AsyncExitStack() as stack:
        engines = await made(tmp_path, stack, python=machine[0], on_cpu=True, sleeping=1)
        assert [device.kind for device in await engines.cluster.devices()] == ["cpu"]
        assert not isinstance(engines.cluster, SleepingCluster)
        assert (engines.recipe.engine(LLAMA, Precision.BF16)) == "vllm 0.33.0"
        assert engines.recipe.engine(LLAMA, Precision.INT8).startswith("penstock-cpu")


async def test_what_does_not_fit_the_machine_is_told_by_its_key(machine, tmp_path):
    newer, _, gpus = machine
    async with AsyncExitStack() as stack:
        with pytest.raises(InvalidParameter, match=r"'vllm.gpus_per_device' must be at most.*\(2, NVIDIA A100"):
            await made(tmp_path, stack, python=newer, gpus_per_device=3)
        with pytest.raises(InvalidParameter, match=r"'vllm.older_python'.*has no vLLM"):
            await made(tmp_path, stack, python=newer, older_python=sys.executable)
        gpus.write_text("")
        with pytest.raises(InvalidParameter, match=r"'vllm.python' is set, but nvidia-smi shows no GPU"):
            await made(tmp_path, stack, python=newer)


async def test_without_it_there_is_the_cpu_engine_and_no_gpu(machine, tmp_path):
    async with AsyncExitStack() as stack:
        engines = await made(tmp_path, stack)
        assert isinstance(engines.recipe, CpuRecipe)
        assert [device.name for device in await engines.cluster.devices()] == ["cpu"]
