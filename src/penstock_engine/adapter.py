"""A LoRA adapter as PEFT writes it: for some of a model's linear layers, two small matrices whose product is added."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from penstock_engine.config import Config
from penstock_engine.errors import CheckpointError, UnsupportedModel
from penstock_engine.quantise import to_f32
from penstock_engine.safetensors import SafetensorsFile

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

CONFIG, WEIGHTS, PICKLE = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
MLFLOW = "peft"
"""The folder of a version where MLflow puts an adapter."""
PREFIX = "base_model.model."
DOWN, UP = ".lora_A.weight", ".lora_B.weight"
ABSENT: tuple[object, ...] = (None, False, [], {}, "none")
OTHER_MATHS = (
    "use_dora",
    "bias",
    "lora_bias",
    "fan_in_fan_out",
    "modules_to_save",
    "trainable_token_indices",
    "target_parameters",
    "use_qalora",
    "arrow_config",
    "alora_invocation_tokens",
)
"""Settings with which more is added than the two matrices' product, or at other places."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What is added to a layer's output: up (down x). f32 [rank, inputs] and [outputs, rank], which has the scale."""

    down: NDArray[np.float32]
    up: NDArray[np.float32]

    @property
    def rank(self) -> int:
        """Rows of `down`."""
        return int(self.down.shape[0])


@dataclass(frozen=True, slots=True)
class Adapter:
    """Pairs by the name of their layer, as `model.layers.0.self_attn.q_proj`."""

    name: str
    pairs: dict[str, Pair]
    folder: Path
    """Where it was read."""

    @property
    def rank(self) -> int:
        """The largest of its pairs."""
        return max(pair.rank for pair in self.pairs.values())


def read_adapter(name: str, folder: Path) -> Adapter:
    """From a PEFT folder, or a version that MLflow logged.

    Raises CheckpointError on missing or damaged files, UnsupportedModel on an adapter that is more than LoRA.
    """
    given = folder
    if (folder / MLFLOW / CONFIG).is_file():
        folder = folder / MLFLOW
    config = Config.read(folder / CONFIG)
    _refuse_other_maths(config)
    if not (folder / WEIGHTS).is_file() and (folder / PICKLE).is_file():
        raise CheckpointError(
            f"{PICKLE} is a pickle, which can run code when it is read: write the adapter again with "
            "save_pretrained(folder), which makes safetensors"
        )
    file = SafetensorsFile(folder / WEIGHTS)
    layers = sorted({_layer(tensor) for tensor in file.names()})
    if not layers:
        raise CheckpointError(f"{WEIGHTS} has no matrices")
    return Adapter(name, {layer: _pair(file, layer, config) for layer in layers}, given)


def _refuse_other_maths(config: Config) -> None:
    kind = config.text("peft_type", "LORA")
    if kind != "LORA":
        raise UnsupportedModel(f"adapters of type {kind!r:.60} are not supported: only LORA is")
    for name in OTHER_MATHS:
        if config.fields.get(name) not in ABSENT:
            raise UnsupportedModel(f"an adapter with {name} is not supported: merge it into its base model")


def _layer(tensor: str) -> str:
    for end in (DOWN, UP):
        if tensor.startswith(PREFIX) and tensor.endswith(end):
            return tensor.removeprefix(PREFIX).removesuffix(end)
    raise UnsupportedModel(f"tensor {tensor!r:.200} of the adapter is not one of LoRA's two matrices of a linear layer")


def _pair(file: SafetensorsFile, layer: str, config: Config) -> Pair:
    named = set(file.names())
    down, up = (
        _matrix(file, f"{PREFIX}{layer}{end}") if f"{PREFIX}{layer}{end}" in named else None for end in (DOWN, UP)
    )
    if down is None or up is None:
        raise CheckpointError(f"{WEIGHTS} has only one of the two matrices of {layer:.200}")
    rank = down.shape[0]
    if up.shape[1] != rank or not rank:
        raise CheckpointError(
            f"{WEIGHTS}: the matrices of {layer:.200} do not fit each other: {down.shape}, {up.shape}"
        )
    strength = _alpha(config, layer) / (math.sqrt(rank) if config.flag("use_rslora", default=False) else rank)
    return Pair(down, up * np.float32(strength))


def _matrix(file: SafetensorsFile, name: str) -> NDArray[np.float32]:
    tensor = file.tensor(name)
    try:
        values = np.ascontiguousarray(to_f32(tensor))
    except ValueError as error:
        raise CheckpointError(f"{WEIGHTS}: {name:.200}: {error}") from error
    if values.ndim != 2 or not np.isfinite(values).all():  # noqa: PLR2004 - rows and columns
        raise CheckpointError(f"{WEIGHTS}: {name:.200} is not a matrix of finite numbers")
    return values


def _alpha(config: Config, layer: str) -> float:
    """PEFT's patterns are ends of layers' names, as regular expressions; ours are compared as they are written."""
    patterns = config.part("alpha_pattern")
    if patterns is not None:
        for pattern in patterns.fields:
            if layer == pattern or layer.endswith(f".{pattern}"):
                return patterns.number(pattern)
            if re.escape(pattern).replace(r"\.", ".") != pattern:
                raise UnsupportedModel(f"alpha_pattern {pattern!r:.100} is not supported: only names of layers are")
    return config.number("lora_alpha", 8.0)
