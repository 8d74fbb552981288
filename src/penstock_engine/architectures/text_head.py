"""How the states of a text's tokens become its one vector, where the model's files say it (sentence-transformers')."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from openvino import opset15 as op

from penstock_engine import graph
from penstock_engine.config import MAX_BYTES, Config
from penstock_engine.errors import CheckpointError, UnsupportedModel

if TYPE_CHECKING:
    from pathlib import Path

    from penstock_engine.checkpoint import ModelFolder

POOLING, MODULES = "1_Pooling/config.json", "modules.json"
KNOWN_MODULES = ("Transformer", "Pooling", "Normalize")


class Pooling(StrEnum):
    """Which states are taken."""

    FIRST = "first"
    """The first token's."""
    MEAN = "mean"
    """The mean of all tokens', padding left out."""


@dataclass(frozen=True, slots=True)
class TextHead:
    """What the files say; None where they say nothing, so that the family's habit counts."""

    pooling: Pooling | None = None
    normalised: bool | None = None


def read_head(folder: ModelFolder) -> TextHead:
    """Beside the weights, or where MLflow puts the extra files of a version (`code_paths`).

    Raises UnsupportedModel on a way to pool, or a module, that this engine does not compute; CheckpointError on files
    that are damaged.
    """
    places = (folder.weights, folder.root, folder.root / "code")
    pooling = next((path for each in places if (path := each / POOLING).is_file()), None)
    modules = next((path for each in places if (path := each / MODULES).is_file()), None)
    return TextHead(
        pooling=None if pooling is None else _pooling(Config.read(pooling)),
        normalised=None if modules is None else "Normalize" in _modules(modules),
    )


def pooled(states: graph.Node, mask: graph.Node, pooling: Pooling) -> graph.Node:
    """States [B, L, hidden] and mask i64 [B, L] -> [B, hidden]."""
    if pooling is Pooling.FIRST:
        return op.squeeze(op.slice(states, graph.i64(0), graph.i64(1), graph.i64(1), graph.i64(1)), graph.i64(1))
    kept = op.unsqueeze(op.convert(mask, "f32"), graph.i64(2))
    total = op.reduce_sum(op.multiply(states, kept), graph.i64(1), False)
    return op.divide(total, op.reduce_sum(kept, graph.i64(1), False))


def _pooling(config: Config) -> Pooling:
    on = {name for name in config.fields if name.startswith("pooling_mode_") and config.flag(name, default=False)}
    for name, pooling in (("pooling_mode_cls_token", Pooling.FIRST), ("pooling_mode_mean_tokens", Pooling.MEAN)):
        if on == {name}:
            return pooling
    told = ", ".join(sorted(on)) or "none"
    raise UnsupportedModel(f"pooling {told:.120} is not supported: only the first token's or the mean is")


def _modules(path: Path) -> set[str]:
    """The last names of the modules' classes."""
    try:
        listed = json.loads(path.read_bytes()[:MAX_BYTES])
    except (ValueError, RecursionError, OSError) as error:
        raise CheckpointError(f"{MODULES} cannot be read: {error!s:.120}") from error
    kinds = [str(item.get("type")) for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    if not kinds:
        raise CheckpointError(f"{MODULES} must be a list of modules with their types")
    names = [kind.rsplit(".", 1)[-1] for kind in kinds]
    if others := [name for name in names if name not in KNOWN_MODULES]:
        raise UnsupportedModel(f"{MODULES} has {others[0]:.60}, which changes the vectors and is not supported")
    return set(names)
