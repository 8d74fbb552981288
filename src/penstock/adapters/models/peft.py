"""A LoRA adapter's files, as PEFT writes them."""

from pathlib import Path

from penstock.adapters.models.document import Damaged, Document, read_json
from penstock.adapters.models.weights import read_shapes
from penstock.domain.model import AdapterFacts

CONFIG, WEIGHTS, PICKLE = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
MLFLOW = "peft"
"""The folder where MLflow puts an adapter."""
NAME_LIMIT = 500
DOWN = ".lora_A.weight"
MATRIX = 2
MAX_RANK = 1 << 16
MORE = (
    "use_dora",
    "lora_bias",
    "fan_in_fan_out",
    "modules_to_save",
    "trainable_token_indices",
    "target_parameters",
    "use_qalora",
    "arrow_config",
    "alora_invocation_tokens",
)
"""Settings with which more is added to a layer than two matrices' product, or at other places."""


def adapter_folder(root: Path) -> Path | None:
    """Where a version's adapter is, None if it is none."""
    return next((folder for folder in (root / MLFLOW, root) if (folder / CONFIG).is_file()), None)


def read_adapter(folder: Path) -> AdapterFacts:
    """The facts; raises Damaged if the files are not whole, or no engine here computes such an adapter."""
    config = read_json(folder / CONFIG)
    kind = config.text("peft_type") or "LORA"
    if kind != "LORA":
        raise Damaged(f"The version is a PEFT adapter of type {kind!r:.60}, and only LORA can be served.")
    if more := _more(config):
        raise Damaged(f"A LoRA adapter with {more} cannot be served: merge it into its base model and register that.")
    if not (folder / WEIGHTS).is_file() and (folder / PICKLE).is_file():
        raise Damaged(
            f"{PICKLE} is a pickle, which can run code when it is read: save the adapter again as safetensors."
        )
    shapes = read_shapes(folder / WEIGHTS)
    ranks = [shape[0] for name, shape in shapes.items() if name.endswith(DOWN) and len(shape) == MATRIX]
    base = config.text("base_model_name_or_path") or ""
    # A rank_pattern may give layers more than `r`.
    return AdapterFacts(base[:NAME_LIMIT], max(ranks, default=config.integer("r", 8, high=MAX_RANK)))


def _more(config: Document) -> str:
    found = [name for name in MORE if config.has(name)]
    if config.text("bias") not in {None, "none"}:
        found.append("bias")
    return ", ".join(found)
