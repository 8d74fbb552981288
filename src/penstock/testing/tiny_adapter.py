"""LoRA adapters of the tiny Llama, as PEFT writes them."""

import json
import random
from array import array

from penstock.testing.tiny_llama import HEAD, weights
from penstock.testing.tiny_tensors import Tensors, pack

RANK, STRENGTH = 4, 16.0
"""What is added is as large as the weights are, so that answers change."""
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
_MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def adapter_files(seed: int, base: str, *, head: int = HEAD, rank: int = RANK) -> dict[str, bytes]:
    """Path -> content of a version that is an adapter of the model of that name. Another seed gives another one.

    `head` is the size of the model's attention heads.
    """
    numbers = random.Random(seed)  # noqa: S311 - weights
    tensors: Tensors = {}
    for layer, (outputs, inputs) in _layers(head).items():
        for end, shape in (("A", (rank, inputs)), ("B", (outputs, rank))):
            values = array("f", (numbers.gauss(0, 0.1) for _ in range(shape[0] * shape[1])))
            tensors[f"{_PREFIX}{layer}.lora_{end}.weight"] = (shape, values)
    config = {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": rank * STRENGTH,
        "target_modules": list(_MODULES),
        "bias": "none",
        "base_model_name_or_path": base,
    }
    return {CONFIG: json.dumps(config).encode(), WEIGHTS: pack(tensors)}


def _layers(head: int) -> dict[str, tuple[int, int]]:
    """Outputs and inputs of the linear layers that adapters change, by name."""
    found = {name.removesuffix(".weight"): shape for name, shape in weights(head).items()}
    return {name: (shape[0], shape[1]) for name, shape in found.items() if name.rsplit(".", 1)[-1] in _MODULES}
