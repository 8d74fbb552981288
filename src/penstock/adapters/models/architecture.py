"""What config.json says of an architecture: its sizes, its context, and whether an engine here can compute it."""

from dataclasses import replace

from penstock.adapters.models.document import Damaged, Document
from penstock.adapters.models.families import FAMILIES, Family
from penstock.domain.model import Shape


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
    if config.has("auto_map") and not _is_own_code(config, family.own):
        raise Damaged("The model brings its own code (auto_map in config.json), which is never run.")
    if config.has("quantization_config"):
        raise Damaged("The weights are quantised already (quantization_config): register the original weights.")
    _check_rope(config, family)
    return family


def _is_own_code(config: Document, own: str) -> bool:
    named = [str(value).rsplit(".", 1)[-1] for value in config.part("auto_map").values.values()]
    return bool(own) and all(name.startswith(own) for name in named)


def _check_rope(config: Document, family: Family) -> None:
    name = "rope_parameters" if config.has("rope_parameters") else "rope_scaling"
    scaling = config.part(name)
    kind = scaling.text("rope_type") or scaling.text("type") or "default"
    if kind not in family.rope_kinds:
        kinds = ", ".join(sorted(family.rope_kinds))
        raise Damaged(f"Rope scaling of type {kind!r:.60} cannot be served; {kinds} can.")


def context_of(config: Document, family: Family | None = None) -> int:
    """Tokens of context; 0 if the configuration does not say. Scaled models state their scaled length here."""
    name = family.names.context if family else "max_position_embeddings"
    if family is None and not isinstance(config.values.get(name), int):
        return 0
    return config.integer(name, family.context if family else None)


def shape_of(config: Document, family: Family) -> Shape:
    """The sizes; raises Damaged naming a field that is missing or absurd."""
    names = family.names
    hidden, heads = config.integer(names.hidden, high=1 << 20), config.integer(names.heads, high=1 << 16)
    head_dim = config.integer("head_dim", max(hidden // heads, 1), high=1 << 16)
    kv_heads = _kv_heads(config, family, heads) if family.decoder else 0
    if kv_heads and heads % kv_heads:
        raise Damaged(f"config.json: {names.heads} {heads} is not a multiple of num_key_value_heads {kv_heads}.")
    shape = Shape(
        layers=config.integer(names.layers, high=1000),
        hidden=hidden,
        intermediate=_intermediate(config, hidden),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        vocabulary=config.integer("vocab_size", high=1 << 24),
    )
    return _with_experts(config, shape)


def _kv_heads(config: Document, family: Family, heads: int) -> int:
    if config.text("model_type") == "dbrx":
        return config.part("attn_config").integer("kv_n_heads", 1, high=1 << 16)
    return config.integer("num_key_value_heads", family.kv_heads or heads, high=1 << 16)


def _intermediate(config: Document, hidden: int) -> int:
    match config.text("model_type"):
        case "mpt":
            return hidden * config.integer("expansion_ratio", 4, high=64)
        case "dbrx":
            return config.part("ffn_config").integer("ffn_hidden_size", 3584, high=1 << 24)
        case _:
            return config.integer("intermediate_size", high=1 << 24)


def _with_experts(config: Document, shape: Shape) -> Shape:
    match config.text("model_type"):
        case "mixtral":
            experts, chosen = config.integer("num_local_experts", 8), config.integer("num_experts_per_tok", 2)
        case "dbrx":
            feed = config.part("ffn_config")
            experts, chosen = feed.integer("moe_num_experts", 4), feed.integer("moe_top_k", 1)
        case _:
            return shape
    if chosen > experts:
        raise Damaged(f"config.json: {chosen} experts for each token are more than the {experts} there are.")
    return replace(shape, experts=experts, chosen_experts=chosen)
