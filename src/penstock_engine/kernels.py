"""The kernels' library: a graph becomes a compiled one, with every setting that changes numbers or speed said here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import openvino as ov
from openvino import opset15 as op

from penstock_engine.errors import EngineError
from penstock_engine.work import Precision

if TYPE_CHECKING:
    from penstock_engine.graph import Node

Compiled: TypeAlias = "Node"
DEVICE, THREADS = "CPU", "INFERENCE_NUM_THREADS"
CPU_INFO = Path("/proc/cpuinfo")
WHOLE_ROW = 1 << 20
"""A group that no row is longer than: the fused 8-bit layers of AMX machines have one scale for each token."""
QUANTISATION_GROUP = 128
"""Values of an activation row that share a scale when they meet 8-bit weights; the default of 32 is slow at prefill."""


def compile_graph(model: Node, precision: Precision) -> Compiled:
    """Raises EngineError with the library's reason."""
    core = ov.Core()
    try:
        return core.compile_model(model, DEVICE, _settings(core, precision))
    except RuntimeError as error:
        raise EngineError(f"the graph cannot be compiled on this machine: {error!s:.600}") from error


def thread_count() -> int:
    """How many threads a compiled graph works with: the library decides, from the cores that the process may use."""
    x = op.parameter(ov.PartialShape([-1, 1]), ov.Type.f32)
    return int(compile_graph(ov.Model([op.result(op.relu(x))], [x]), Precision.INT8).get_property(THREADS))


def _settings(core: Node, precision: Precision) -> dict[str, str | int]:
    # not pinned: threads of several engines would wait for the same core while another is idle
    common: dict[str, str | int] = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False}
    if precision is Precision.FP32:
        return common | {
            "INFERENCE_PRECISION_HINT": "f32",
            "KV_CACHE_PRECISION": "f32",
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
        }
    # without native bfloat16 the library would emulate it
    arithmetic = "bf16" if "BF16" in core.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES") else "f32"
    return common | {
        "INFERENCE_PRECISION_HINT": arithmetic,
        # never the default (u8, by channel): a part-filled block would be requantised whenever a token is added
        "KV_CACHE_PRECISION": arithmetic,
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": WHOLE_ROW if has_amx() else QUANTISATION_GROUP,
    }


def has_amx() -> bool:
    """Whether the processor multiplies tiles of 8-bit numbers; the library does not tell."""
    return "amx_int8" in processor().split()


def processor() -> str:
    """The first core's description, flags included; empty where the system has none to give."""
    try:
        cores = CPU_INFO.read_text("utf-8").split("\n\n")
    except OSError:
        return ""
    lines = (line for line in cores[0].splitlines() if line.startswith(("model name", "flags")))
    return " ".join(lines)
