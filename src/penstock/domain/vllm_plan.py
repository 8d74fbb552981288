"""How vLLM runs a model on a device: what it takes and its command line, or the reason why it does not.

Flags and their meaning are those of vLLM 0.30 to 0.33; docs/engines.md names the ones that are relied on.
"""

import math
import re
from dataclasses import dataclass

from penstock.domain.model import ModelFacts, Precision, Shape, Task
from penstock.domain.profile import REFERENCE_TOKENS

GIB, MIB = 2**30, 2**20
OVERHEAD = 3 * GIB
"""Of each GPU, or of the machine: the runtime, captured graphs, and what else a process of vLLM's holds."""
BATCHED_TOKENS = 8192
"""Tokens of one step at most; prompts are computed in chunks of so many."""
BLOCK = 16
"""Tokens that the KV cache is counted in."""
CPU_BLOCK = 128
"""The same on CPUs."""
CPU_RUNNING = 32
"""Requests that run at a time on a CPU, at most."""
CPU_CACHE = 4 * GIB
"""Of a CPU's memory so much is given to a KV cache in which all of them fit."""
CPU_HEADS = frozenset({32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512})
"""Sizes of attention heads that its kernels for CPUs are made for; with another one it starts, and fails later."""
_LAST_WITH_MPT = (0, 28)
_CPU_CACHE_IN_BYTES = (0, 32)
"""The first release of those that were looked at which is told a CPU's KV cache in bytes; older ones count in GiB."""
_DRAINS = (0, 30)
"""The first release of those that were looked at which lets requests end when it is to stop."""
DRAIN_S = 3600
"""How long it lets them: whoever stops it has less patience, and ends it then."""
_DTYPES = {Precision.BF16: "bfloat16", Precision.FP32: "float32"}
_OWN_CODE = (
    "vLLM reads the configuration of GTE v1.5 only with the code that its authors put beside it, which is never run"
)
_REFUSED = {
    "DbrxForCausalLM": "vLLM fails to load DBRX: it does not find the weights of its experts (w13_weight)",
    "NewModel": _OWN_CODE,
    "NewForMaskedLM": _OWN_CODE,
    "GteModel": _OWN_CODE,
    "GteForMaskedLM": _OWN_CODE,
}
_THOUGHTS = ("<think>", "</think>")
_CALLS = {"llama3_json": "<|python_tag|>", "mistral": "[TOOL_CALLS]"}
"""Tokens without which vLLM does not start with a parser of calls."""
_PARSERS = {
    "LlamaForCausalLM": "llama3_json",
    "MistralForCausalLM": "mistral",
    "MixtralForCausalLM": "mistral",
    "Qwen2ForCausalLM": "hermes",
}
TOKENS = frozenset({*_THOUGHTS, *_CALLS.values()})
"""Tokens that it makes a difference to have."""
_FORMS = '{"backend": "guidance", "disable_any_whitespace": true}'
"""By llguidance, as in the CPU engine: xgrammar, which vLLM takes otherwise, lets control characters into strings."""
_TAGGED = frozenset({"llama3_json", "hermes"})
"""Parsers whose required calls vLLM holds to their format by xgrammar alone."""
_MPT = frozenset({"MPTForCausalLM", "MptForCausalLM"})


@dataclass(frozen=True, slots=True)
class Hardware:
    """What one replica runs on: so many GPUs that compute together, or a CPU if there are none.

    `total` is the bytes of memory there are in all, `memory` those of them that engines may take.
    """

    gpus: int
    total: int
    memory: int

    @property
    def parts(self) -> int:
        """How many parts weights and heads are divided into."""
        return max(self.gpus, 1)


@dataclass(frozen=True, slots=True)
class Wishes:
    """How it is to run: requests at a time, LoRA adapters of a rank at a time, and whether it can be put to sleep."""

    max_running: int = 128
    adapters: int = 0
    adapter_rank: int = 16
    sleeps: bool = False


@dataclass(frozen=True, slots=True)
class Size:
    """What a replica takes: bytes of memory with its KV cache, which holds so many tokens in so many bytes.

    `kv_tokens` is 0 for models that keep none. A request has `context` tokens at most, and `running` run at a time.
    """

    memory: int
    kv_tokens: int
    kv_bytes: int
    context: int
    running: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where the model's files are, and where it is to serve: a Unix socket, or else a port of 127.0.0.1."""

    model: str
    tokenizer: str
    served_name: str
    socket: str = ""
    port: int = 0


@dataclass(frozen=True, slots=True)
class Talk:
    """How a chat model talks: those of `TOKENS` that its tokenizer has, and its chat template, empty if not known."""

    tokens: frozenset[str] = frozenset()
    template: str = ""

    @property
    def thinks(self) -> bool:
        """Whether its answers begin with thoughts, which tokens of their own stand around."""
        return _THOUGHTS[1] in self.template and self.tokens.issuperset(_THOUGHTS)


def refusal(facts: ModelFacts, precision: Precision, hardware: Hardware, wishes: Wishes, version: str) -> str:
    """Why that version of vLLM does not serve the model there, without a full stop; empty if it does."""
    name, shape = facts.architecture or "", facts.shape
    if name in _REFUSED:
        return _REFUSED[name]
    if name in _MPT and _release(version) > _LAST_WITH_MPT:
        return f"vLLM served MPT up to version 0.28, and this is {version}"
    if precision not in _DTYPES:
        return f"vLLM computes it in {' or '.join(_DTYPES)}, not in {precision}"
    if shape is None:
        return "vLLM's share of the device cannot be told: the sizes of the model are not known"
    return (
        _uncomputed(shape, hardware)
        or _undivided(shape, hardware.parts)
        or _too_large(facts, precision, hardware, wishes)
    )


def adapts(facts: ModelFacts, hardware: Hardware, wishes: Wishes) -> bool:
    """Whether it takes LoRA adapters of such a model there: on CPUs it dies with the first request to a mixture's."""
    mixture = facts.shape is not None and facts.shape.experts > 0
    return wishes.adapters > 0 and facts.task is not Task.EMBEDDINGS and not (mixture and not hardware.gpus)


def size(facts: ModelFacts, precision: Precision, hardware: Hardware, wishes: Wishes) -> Size:
    """What a replica takes there. Its KV cache is cut to what is left beside the weights, its context with it."""
    width, shape, parts = (4 if precision is Precision.FP32 else 2), facts.shape, hardware.parts
    running = wishes.max_running if hardware.gpus else min(wishes.max_running, CPU_RUNNING)
    fixed = facts.parameters * width + parts * OVERHEAD
    if shape is not None:
        fixed += _step_bytes(shape, parts) + wishes.adapters * _adapter_bytes(shape, wishes.adapter_rank)
    if shape is None or facts.is_encoder:
        return Size(fixed, 0, 0, facts.context_length, running)
    per_token = _kv_bytes(shape, width, parts)
    # A request seldom fills what it may have: half of those that run at a time fit with the reference's length.
    reference = min(REFERENCE_TOKENS, facts.context_length)
    wanted = max(running // 2 * reference, facts.context_length)
    if not hardware.gpus:
        # Fewer run there, all of which count: throughput is measured with as many as fit.
        wanted = max(wanted, min(running * reference, CPU_CACHE // per_token))
    room = max(hardware.memory - fixed, 0) // per_token
    block = BLOCK if hardware.gpus else CPU_BLOCK
    tokens = max(min(-(-wanted // block), room // block), 1) * block
    return Size(fixed + tokens * per_token, tokens, tokens * per_token, min(facts.context_length, tokens), running)


def arguments(
    facts: ModelFacts,
    precision: Precision,
    hardware: Hardware,
    wishes: Wishes,
    place: Place,
    *,
    version: str,
    talk: Talk,
) -> tuple[str, ...]:
    """What follows the name of that version on its command line. The model must not be one that is refused."""
    found = size(facts, precision, hardware, wishes)
    told = ["serve", place.model, "--tokenizer", place.tokenizer, "--served-model-name", place.served_name]
    told += ["--uds", place.socket] if place.socket else ["--host", "127.0.0.1", "--port", str(place.port)]
    told += ["--dtype", _DTYPES[precision], "--max-model-len", str(found.context)]
    told += ["--max-num-seqs", str(found.running), "--max-num-batched-tokens", str(BATCHED_TOKENS)]
    # The lowest number goes first: the gateway gives each request the moment by which it is to begin.
    told += ["--scheduling-policy", "priority", "--enable-prompt-tokens-details", "--disable-uvicorn-access-log"]
    told += ["--shutdown-timeout", str(DRAIN_S)] if _release(version) >= _DRAINS else []
    if hardware.gpus:
        told += ["--tensor-parallel-size", str(hardware.gpus)]
        told += ["--gpu-memory-utilization", _share(found.memory, hardware.total)]
        told += ["--enable-sleep-mode"] if wishes.sleeps else []
        told += ["--kv-cache-memory-bytes", str(found.kv_bytes // hardware.gpus)] if found.kv_bytes else []
    elif _release(version) >= _CPU_CACHE_IN_BYTES:
        # Told of none, it would look for most of the machine's memory, also where the model keeps none.
        told += ["--kv-cache-memory-bytes", str(max(found.kv_bytes, MIB))]
    if facts.task is Task.EMBEDDINGS:
        return (*told, "--runner", "pooling")
    # Sampling is what requests say, as with the CPU engine, and not what the model's files propose.
    told += ["--enable-prefix-caching", "--generation-config", "vllm"]
    if wishes.adapters:
        told += ["--enable-lora", "--max-loras", str(wishes.adapters), "--max-lora-rank", str(wishes.adapter_rank)]
    told += ["--reasoning-parser", "deepseek_r1"] if talk.thinks and facts.task is Task.CHAT else []
    parser = tool_parser(facts, talk)
    told += ["--enable-auto-tool-choice", "--tool-call-parser", parser] if parser else []
    return (*told, *(() if parser in _TAGGED else ("--structured-outputs-config", _FORMS)))


def environment(
    facts: ModelFacts, precision: Precision, hardware: Hardware, wishes: Wishes, *, version: str
) -> dict[str, str]:
    """The variables that it runs with: nothing is fetched and nothing is reported; what is off by default is let in."""
    found = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    # Longer than the relay keeps a connection that nobody uses, so that it is seldom closed from the other end.
    found["VLLM_HTTP_TIMEOUT_KEEP_ALIVE"] = "60"
    if hardware.gpus and wishes.sleeps:
        found["VLLM_SERVER_DEV_MODE"] = "1"
    if wishes.adapters:
        found["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "1"
    if facts.task is Task.EMBEDDINGS:
        # sentence-transformers cut texts at a length of their own, which is shorter than the positions that there are.
        found["VLLM_ALLOW_LONG_MAX_MODEL_LEN"] = "1"
    if not hardware.gpus:
        if _release(version) < _CPU_CACHE_IN_BYTES:
            kept = size(facts, precision, hardware, wishes).kv_bytes
            found["VLLM_CPU_KVCACHE_SPACE"] = str(max(math.ceil(kept / GIB), 1))
        # The process is bound to its device's cores already; left to itself, it keeps one of them for its server.
        found["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
    return found


def tool_parser(facts: ModelFacts, talk: Talk) -> str:
    """Name, in vLLM, of how the model writes calls of tools; empty where it has no way of its own."""
    if facts.task is not Task.CHAT:
        return ""
    parser = _PARSERS.get(facts.architecture or "", "")
    needed = _CALLS.get(parser)
    return parser if needed is None or needed in talk.tokens else ""


def _release(version: str) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _uncomputed(shape: Shape, hardware: Hardware) -> str:
    if hardware.gpus or shape.head_dim in CPU_HEADS:
        return ""
    return f"vLLM computes no attention heads of {shape.head_dim} on CPUs"


def _undivided(shape: Shape, parts: int) -> str:
    """Each GPU gets whole heads, and equal parts of the layers in between."""
    if shape.heads % parts:
        return f"its {shape.heads} attention heads cannot be divided among {parts} GPUs"
    if shape.kv_heads and shape.kv_heads % parts and parts % shape.kv_heads:
        return f"its {shape.kv_heads} heads of keys and values cannot be divided among {parts} GPUs"
    if shape.intermediate % parts:
        return f"its layers of {shape.intermediate} cannot be divided among {parts} GPUs"
    return ""


def _too_large(facts: ModelFacts, precision: Precision, hardware: Hardware, wishes: Wishes) -> str:
    found, least = size(facts, precision, hardware, wishes), min(facts.context_length, REFERENCE_TOKENS)
    if found.memory <= hardware.memory and (not found.kv_bytes or found.kv_tokens >= least):
        return ""
    device = f"{hardware.gpus} GPU{'s' * (hardware.gpus > 1)}" if hardware.gpus else "the CPU"
    need = found.memory
    if found.kv_bytes and found.kv_tokens < least:
        need += (least - found.kv_tokens) * found.kv_bytes // found.kv_tokens
    return (
        f"it does not fit: in {precision} it takes {need / GIB:.1f} GiB with the least KV cache, and {device} may give "
        f"{hardware.memory / GIB:.1f} GiB"
    )


def _kv_bytes(shape: Shape, width: int, parts: int) -> int:
    """Bytes of one token on all GPUs together: heads of keys that are fewer than the GPUs are on several."""
    copies = max(parts // shape.kv_heads, 1)
    return max(shape.kv_bytes_per_token * width // 2 * copies, 1)


def _step_bytes(shape: Shape, parts: int) -> int:
    """What a step works with, on all GPUs together: its states are on each, the layers in between divided."""
    inner = shape.intermediate * max(shape.chosen_experts, 1)
    return BATCHED_TOKENS * (parts * 8 * shape.hidden + 3 * inner) * 2 + 256 * shape.vocabulary * 4


def _adapter_bytes(shape: Shape, rank: int) -> int:
    """LoRA's two matrices for each linear layer of an adapter."""
    return 2 * rank * shape.layers * (9 * shape.hidden + 3 * (shape.hidden + shape.intermediate))


def _share(memory: int, total: int) -> str:
    """A share of the memory, rounded up."""
    return f"{min(math.ceil(1000 * memory / max(total, 1)) / 1000, 1.0):.3f}"
