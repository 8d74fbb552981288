"""A LoRA adapter's files, as PEFT writes them."""

from pathlib import Path

from penstock.adapters.models.document import Damaged, Document, read_json
from penstock.adapters.models.weights import read_file
from penstock.domain.model import AdapterFacts

CONFIG, WEIGHTS, PICKLE = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
MLFLOW = "peft"
"""The folder where MLflow puts an adapter."""
NAME_LIMIT = 500
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
    read_file(folder / WEIGHTS)
    base = config.text("base_model_name_or_path") or ""
    return AdapterFacts(base[:NAME_LIMIT], config.integer("r", 8, high=1 << 16))


def _more(config: Document) -> str:
    found = [name for name in MORE if config.has(name)]
    if config.text("bias") not in {None, "none"}:
        found.append("bias")
    return ", ".join(found)
