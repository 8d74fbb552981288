"""The CPU engine: how `penstock_engine` is built and run, and what it takes."""

import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from penstock.adapters.engines.marks import mark_of
from penstock.domain.adapting import stepped_room
from penstock.domain.model import ModelFacts, Precision, Shape
from penstock.domain.profile import REFERENCE_TOKENS
from penstock.ports.engine import EngineSpec, Launch, Needs

MIB = 2**20
MAX_RUNNING = 32
KV_SEQUENCES = 20
"""The KV cache holds so many reference requests, and never less than one full context."""
KV_LIMIT = 4 * 1024 * MIB
PREFILL_CHUNK = 512
_PROCESS = 300 * MIB
"""Interpreter, kernels and tokenizer."""
ADAPTABLE = frozenset({"LlamaForCausalLM", "MistralForCausalLM", "MixtralForCausalLM", "Qwen2ForCausalLM"})
"""Architectures whose linear layers take LoRA adapters."""
_WEIGHTS = {Precision.INT8: 1.15, Precision.BF16: 2.3, Precision.FP32: 4.6}
"""Bytes per parameter: the kernels' packed copy and slack. The cached originals are file pages, given up at need."""


class CpuRecipe:
    """See `penstock.ports.engine.EngineRecipe`. `max_queue` requests wait in a replica."""

    def __init__(self, *, max_queue: int) -> None:
        self.name = "penstock-cpu"
        self.version = f"{version('penstock')}+openvino.{version('openvino').split('-')[0]}"
        self._max_queue = max_queue

    def engine(self, facts: ModelFacts, precision: Precision) -> str:  # noqa: ARG002 - the same for all
        """The same for all."""
        return f"{self.name} {self.version}"

    def refusal(self, facts: ModelFacts, precision: Precision) -> str:  # noqa: ARG002 - of none
        """None: what it cannot compute is no servable version."""
        return ""

    def address(self, spec: EngineSpec, place: str) -> str:  # noqa: ARG002 - the same for all
        """The place itself."""
        return place

    def runs_on(self, facts: ModelFacts, precision: Precision) -> str:  # noqa: ARG002 - the same for all
        """CPUs."""
        return "cpu"

    def precision(self, facts: ModelFacts) -> Precision:
        """Texts in eight bits: half the memory and twice the speed of bf16, for a small loss.

        Vectors in bf16: eight bits make them little faster, and cost a part in five hundred of their direction.
        """
        return Precision.BF16 if facts.is_encoder else Precision.INT8

    def needs(self, facts: ModelFacts, precision: Precision, room: int = 0) -> Needs:
        """Weights as held, the KV cache, activations of a prefill chunk, room for adapters, and the process itself."""
        weights = facts.parameters * _WEIGHTS[precision] + _room_bytes(facts.shape, room)
        shape = facts.shape
        if shape is None or facts.is_encoder:
            longest = max(facts.context_length, 512) * (shape.hidden + shape.intermediate if shape else 8192) * 4
            return Needs(int(weights + _PROCESS + 8 * longest), MAX_RUNNING, self._max_queue, 0)
        width = 8 if precision is Precision.FP32 else 4
        per_token = max(shape.kv_bytes_per_token * width // 4, 1)
        wanted = max(KV_SEQUENCES * min(REFERENCE_TOKENS, facts.context_length), facts.context_length)
        kv_tokens = max(min(wanted, KV_LIMIT // per_token), min(facts.context_length, wanted), 64)
        inner = shape.intermediate * max(shape.chosen_experts, 1)
        activations = PREFILL_CHUNK * (4 * shape.hidden + 3 * inner) * 4 + 64 * shape.vocabulary * 4
        memory = int(weights + kv_tokens * per_token + activations + _PROCESS)
        return Needs(memory, MAX_RUNNING, self._max_queue, kv_tokens)

    def adapts(self, facts: ModelFacts) -> bool:
        """By the architecture."""
        return facts.architecture in ADAPTABLE

    def room(self, facts: ModelFacts, precision: Precision, ranks: Sequence[int]) -> int:  # noqa: ARG002 - for all
        """In steps, as it is part of every product."""
        return stepped_room(ranks)

    def build(self, spec: EngineSpec, log: Path) -> Launch:
        """Converts and checks."""
        return Launch((*_program("build"), *_model(spec), "--watch-stdin"), spec.environment, log, stdin_watch=True)

    def is_built(self, spec: EngineSpec) -> bool:
        """Whether the mark is there."""
        return self._mark(spec).exists()

    def mark_built(self, spec: EngineSpec) -> None:
        """Writes the mark."""
        self._mark(spec).touch()

    def _mark(self, spec: EngineSpec) -> Path:
        return mark_of(spec, self.version)

    def serve(self, spec: EngineSpec, address: str, log: Path) -> Launch:
        """Serves on a Unix socket or a loopback port."""
        shape = spec.facts.shape
        width = 8 if spec.precision is Precision.FP32 else 4
        kv_bytes = spec.needs.kv_tokens * (shape.kv_bytes_per_token * width // 4 if shape else 0)
        assert spec.facts.task is not None
        command = (
            *_program("serve"),
            *_model(spec),
            *_listen(address),
            "--served-model-name",
            spec.served_name,
            "--task",
            spec.facts.task.value,
            "--max-running",
            str(spec.needs.max_running),
            "--max-queue",
            str(max(spec.needs.max_queue, 1)),
            "--kv-bytes",
            str(max(kv_bytes, 1)),
            "--prefill-chunk",
            str(PREFILL_CHUNK),
            "--watch-stdin",
            *(("--adaptable", str(spec.room)) if spec.room else ()),
        )
        return Launch(command, spec.environment, log, stdin_watch=True)


def _room_bytes(shape: Shape | None, room: int) -> int:
    """Two matrices for each layer, of four bytes: as used, as read, and once more while an adapter comes or goes."""
    if shape is None:
        return 0
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    attention = 4 * shape.hidden + 2 * queries + 2 * keys
    # Experts take none.
    between = 0 if shape.experts else 3 * (shape.hidden + shape.intermediate)
    return 3 * 4 * room * shape.layers * (attention + between)


def _program(command: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "penstock_engine", command)


def _model(spec: EngineSpec) -> tuple[str, ...]:
    return ("--model", str(spec.model), "--cache", str(spec.cache), "--precision", spec.precision.value)


def _listen(address: str) -> tuple[str, str]:
    if address.startswith("unix:"):
        return ("--socket", address.removeprefix("unix:"))
    return ("--port", address.rsplit(":", 1)[1])
