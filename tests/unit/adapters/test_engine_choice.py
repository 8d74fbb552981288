"""Several engines as one: who serves what."""

from dataclasses import replace
from pathlib import Path

import pytest

from penstock.adapters.engines.choice import ChosenRecipe
from penstock.adapters.engines.cpu import CpuRecipe
from penstock.adapters.engines.gauge import DeviceGauge, Gauges
from penstock.adapters.engines.vllm import VllmRecipe
from penstock.domain.errors import EngineFailed
from penstock.domain.model import ModelFacts, Precision, Shape, Task
from penstock.domain.vllm_plan import GIB, Hardware, Wishes
from penstock.ports.engine import EngineSpec

CARD = Hardware(1, 80 * GIB, 64 * GIB)
LLAMA = ModelFacts(
    Task.CHAT, "llama", "LlamaForCausalLM", 10**9, 2 * 10**9, 4096, Shape(16, 2048, 8192, 32, 8, 64, 32_000),
    True, True, None,
)  # fmt: skip
MPT = replace(LLAMA, architecture="MPTForCausalLM")
DBRX = replace(LLAMA, architecture="DbrxForCausalLM")
CPU = CpuRecipe(max_queue=4)
NEWER = VllmRecipe("/v/python", "0.33.0", CARD, Wishes(), max_queue=4)
OLDER = VllmRecipe("/w/python", "0.28.0", CARD, Wishes(), max_queue=4)
ALL = ChosenRecipe([NEWER, OLDER, CPU])


@pytest.mark.parametrize(
    ("facts", "wish", "served"),
    [
        (LLAMA, Precision.BF16, "vllm 0.33.0"),
        (LLAMA, Precision.INT8, f"penstock-cpu {CPU.version}"),
        (MPT, Precision.BF16, "vllm 0.28.0"),
        (DBRX, Precision.BF16, f"penstock-cpu {CPU.version}"),
    ],
)
def test_the_first_that_takes_it_serves_it(facts, wish, served):
    assert not ALL.refusal(facts, wish)
    assert ALL.engine(facts, wish) == served
    assert ALL.runs_on(facts, wish) == ("gpu" if served.startswith("vllm") else "cpu")


def test_the_precision_is_the_servers_own():
    assert ALL.precision(LLAMA) is Precision.BF16
    assert ALL.precision(DBRX) is Precision.INT8


def test_what_nobody_takes_has_all_their_reasons_and_each_once():
    both = ChosenRecipe([NEWER, OLDER])
    assert both.refusal(DBRX, Precision.BF16).count("fails to load DBRX") == 1
    said = both.refusal(MPT, Precision.INT8)
    assert "this is 0.33.0; vLLM computes it in bf16 or fp32, not in int8" in said
    assert both.needs(DBRX, Precision.BF16) == NEWER.needs(DBRX, Precision.BF16)
    assert both.precision(DBRX) is Precision.BF16


def test_it_is_built_marked_addressed_and_run_by_the_one_that_serves_it(tmp_path):
    def spec(facts, precision):
        return EngineSpec(tmp_path, tmp_path, facts, "a/1", precision, ALL.needs(facts, precision))

    by_vllm, by_us = spec(LLAMA, Precision.BF16), spec(DBRX, Precision.BF16)
    assert ALL.address(by_vllm, "unix:/a") == "vllm+unix:/a"
    assert ALL.address(by_us, "unix:/a") == "unix:/a"
    assert "/v/python" in ALL.build(by_vllm, Path("log")).command
    assert "penstock_engine" in ALL.serve(by_us, "unix:/a", Path("log")).command
    assert "--uds" in ALL.serve(by_vllm, "vllm+unix:/a", Path("log")).command
    ALL.mark_built(by_vllm)
    assert ALL.is_built(by_vllm)
    assert NEWER.is_built(by_vllm)
    assert not CPU.is_built(by_vllm)


async def test_each_kind_of_device_has_a_speed_of_its_own(tmp_path):
    gauges = Gauges(
        {
            kind: DeviceGauge(tmp_path / kind, "a", ("/bin/sh", "-c", f"test -z $PENSTOCK_TOKEN && echo {speed} $MORE"),
                              {"MORE": "7"})
            for kind, speed in (("cpu", 1), ("gpu", 2))
        }
    )  # fmt: skip
    assert (await gauges.speed("cpu")).operations_per_s == 1
    assert await gauges.speed("gpu") == replace(await gauges.speed("cpu"), operations_per_s=2.0)
    with pytest.raises(EngineFailed, match="kind 'tpu'"):
        await gauges.speed("tpu")


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (("/bin/sh", "-c", "echo it burns >&2; exit 3"), "it burns"),
        (("/bin/sh", "-c", "echo warming up; echo 1 2"), "warming up"),
        (("/no/such/program",), "No such file"),
    ],
)
async def test_a_speed_that_cannot_be_measured_says_why(command, why, tmp_path):
    with pytest.raises(EngineFailed, match=why):
        await DeviceGauge(tmp_path / "speed", "a", command).speed()
