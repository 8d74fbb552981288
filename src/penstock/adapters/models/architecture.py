"""What config.json says of an architecture: its sizes, its context, and whether an engine here can compute it."""

from dataclasses import dataclass

from penstock.adapters.models.document import Damaged, Document
from penstock.domain.model import Shape, Task

TEXT = frozenset({Task.CHAT, Task.COMPLETIONS})
VECTORS = frozenset({Task.EMBEDDINGS})
ROPE_KINDS = frozenset({"default", "linear", "llama3", "yarn"})


@dataclass(frozen=True, slots=True)
class Family:
    """A servable family: its classes, tasks, and defaults of what its configuration may leave out.

    `kv_heads` 0 with `decoder`: as many as heads.
    """

    classes: frozenset[str]
    tasks: frozenset[Task]
    decoder: bool
    context: int
    kv_heads: int = 0


FAMILIES = {
    "llama": Family(frozenset({"LlamaForCausalLM"}), TEXT, decoder=True, context=2048),
    "mistral": Family(frozenset({"MistralForCausalLM"}), TEXT, decoder=True, context=131_072, kv_heads=8),
    "bert": Family(frozenset({"BertModel", "BertForMaskedLM"}), VECTORS, decoder=False, context=512),
}


def class_of(config: Document) -> str | None:
    """The model's class, such as LlamaForCausalLM."""
    classes = config.values.get("architectures")
    first = classes[0] if isinstance(classes, list) and classes else None
    return first if isinstance(first, str) else None


def family_of(config: Document) -> Family:
    """The family; raises Damaged with the reason if no engine here computes the model."""
    kind = config.text("model_type") or ""
    family = FAMILIES.get(kind)
    if family is None:
        known = ", ".join(sorted(FAMILIES))
        raise Damaged(f"Models of type {kind!r:.60} cannot be served yet; served are {known}.")
    name = class_of(config)
    if name is not None and name not in family.classes:
        raise Damaged(f"{name:.80} cannot be served; of {kind} models, {', '.join(sorted(family.classes))} can.")
    if config.has("auto_map"):
        raise Damaged("The model brings its own code (auto_map in config.json), which is never run.")
    if config.has("quantization_config"):
        raise Damaged("The weights are quantised already (quantization_config): register the original weights.")
    if family.decoder:
        _check_rope(config)
    return family


def _check_rope(config: Document) -> None:
    name = "rope_parameters" if config.has("rope_parameters") else "rope_scaling"
    scaling = config.part(name)
    kind = scaling.text("rope_type") or scaling.text("type") or "default"
    if kind not in ROPE_KINDS:
        raise Damaged(f"Rope scaling of type {kind!r:.60} cannot be served; {', '.join(sorted(ROPE_KINDS))} can.")


def context_of(config: Document, default: int = 0) -> int:
    """Tokens of context; 0 if the configuration does not say. Scaled models state their scaled length here."""
    if not default and not isinstance(config.values.get("max_position_embeddings"), int):
        return 0
    return config.integer("max_position_embeddings", default or None)


def shape_of(config: Document, family: Family) -> Shape:
    """The sizes; raises Damaged naming a field that is missing or absurd."""
    hidden, heads = config.integer("hidden_size", high=1 << 20), config.integer("num_attention_heads", high=1 << 16)
    head_dim = config.integer("head_dim", max(hidden // heads, 1), high=1 << 16)
    kv_heads = config.integer("num_key_value_heads", family.kv_heads or heads, high=1 << 16) if family.decoder else 0
    if kv_heads and heads % kv_heads:
        raise Damaged(f"config.json: num_attention_heads {heads} is not a multiple of num_key_value_heads {kv_heads}.")
    return Shape(
        layers=config.integer("num_hidden_layers", high=1000),
        hidden=hidden,
        intermediate=config.integer("intermediate_size", high=1 << 24),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        vocabulary=config.integer("vocab_size", high=1 << 24),
    )
