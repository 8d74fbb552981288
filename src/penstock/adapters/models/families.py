"""The families that an engine here computes: their classes, their tasks, and what their configurations leave out."""

from dataclasses import dataclass

from penstock.domain.model import Task

TEXT = frozenset({Task.CHAT, Task.COMPLETIONS})
VECTORS = frozenset({Task.EMBEDDINGS})
ROPE_KINDS = frozenset({"default", "linear", "dynamic", "llama3", "yarn"})


@dataclass(frozen=True, slots=True)
class Names:
    """What the sizes are called in config.json."""

    hidden: str = "hidden_size"
    heads: str = "num_attention_heads"
    layers: str = "num_hidden_layers"
    context: str = "max_position_embeddings"


MOSAIC = Names(hidden="d_model", heads="n_heads", layers="n_layers", context="max_seq_len")
"""MPT's and DBRX's."""


@dataclass(frozen=True, slots=True)
class Family:
    """A servable family. `context` and `kv_heads` count where the configuration does not say.

    `kv_heads` 0 with `decoder`: as many as heads. `own`: how the names of its authors' own classes begin; code that a
    configuration names (auto_map) is never run, and must be theirs.
    """

    classes: frozenset[str]
    tasks: frozenset[Task] = TEXT
    decoder: bool = True
    context: int = 2048
    kv_heads: int = 0
    names: Names = Names()
    rope_kinds: frozenset[str] = ROPE_KINDS
    own: str = ""


FAMILIES = {
    "llama": Family(frozenset({"LlamaForCausalLM"})),
    "mistral": Family(frozenset({"MistralForCausalLM"}), context=131_072, kv_heads=8),
    "mixtral": Family(frozenset({"MixtralForCausalLM"}), context=131_072, kv_heads=8),
    "qwen2": Family(frozenset({"Qwen2ForCausalLM"}), context=32_768, kv_heads=32),
    "mpt": Family(frozenset({"MptForCausalLM", "MPTForCausalLM"}), names=MOSAIC, own="MPT"),
    "dbrx": Family(frozenset({"DbrxForCausalLM"}), names=MOSAIC, rope_kinds=frozenset({"default"}), own="Dbrx"),
    "bert": Family(frozenset({"BertModel", "BertForMaskedLM"}), VECTORS, decoder=False, context=512),
    "new": Family(
        frozenset({"NewModel", "NewForMaskedLM"}),
        VECTORS,
        decoder=False,
        context=8192,
        rope_kinds=frozenset({"default", "ntk"}),
        own="New",
    ),
    "gte": Family(
        frozenset({"GteModel", "GteForMaskedLM"}),
        VECTORS,
        decoder=False,
        context=8192,
        rope_kinds=frozenset({"default", "ntk"}),
    ),
}
