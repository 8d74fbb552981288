"""What is known of a model version from its files: enough to serve it, measure it and place it."""

from dataclasses import dataclass
from enum import StrEnum


class Task(StrEnum):
    """What a model is asked to do, in MLflow's words."""

    CHAT = "llm/v1/chat"
    COMPLETIONS = "llm/v1/completions"
    EMBEDDINGS = "llm/v1/embeddings"


class Precision(StrEnum):
    """How weights are held by an engine."""

    INT8 = "int8"
    BF16 = "bf16"
    FP32 = "fp32"


@dataclass(frozen=True, slots=True)
class Shape:
    """The architecture's sizes; what an estimate of cost and memory needs.

    Zero `kv_heads` means that no KV cache is kept (encoders). Of a mixture, `intermediate` is one expert's, and each
    token goes through `chosen_experts` of `experts`; 0 of 0 means that there is no mixture.
    """

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    experts: int = 0
    chosen_experts: int = 0

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of KV cache one token takes with 16-bit keys and values."""
        return 2 * 2 * self.layers * self.kv_heads * self.head_dim

    @property
    def idle_parameters(self) -> int:
        """Of experts that a token does not go through."""
        return 3 * self.layers * self.hidden * self.intermediate * (self.experts - self.chosen_experts)


@dataclass(frozen=True, slots=True)
class AdapterFacts:
    """What the files of a LoRA adapter say. `base` is what PEFT calls the model it was made for, empty if nothing.

    `rank` is the largest of its layers.
    """

    base: str
    rank: int


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the files of a version say. `problem` is why it cannot be served, None if it can.

    `model_type` is the family name clients are told ("llama", "mistral", "bge-large", "gte-large").
    `context_length` is in tokens; `parameters` is a count; `weight_bytes` is what lies on disk.

    With `adapter`, the version is one; then all but `task` and `problem` tell of the base model that lies beside it, if
    one does: without, `shape` is None.
    """

    task: Task | None
    model_type: str | None
    architecture: str | None
    parameters: int
    weight_bytes: int
    context_length: int
    shape: Shape | None
    has_tokenizer: bool
    has_chat_template: bool
    problem: str | None
    adapter: AdapterFacts | None = None

    @property
    def servable(self) -> bool:
        """Whether an engine can serve the version."""
        return self.problem is None

    @property
    def is_encoder(self) -> bool:
        """Whether the model keeps no KV cache and gives no tokens."""
        return self.shape is not None and not self.shape.kv_heads
