"""How an embedding model's files (sentence-transformers') say that one vector is made of a text's."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from penstock.domain.errors import EngineFailed

POOLING, MODULES = "1_Pooling/config.json", "modules.json"
_BYTES = 1 << 20
_MODES = {"pooling_mode_cls_token": "first", "pooling_mode_mean_tokens": "mean"}


class Pooling(StrEnum):
    """Which states are taken: the first token's, or the mean of all tokens'."""

    FIRST = "first"
    MEAN = "mean"


@dataclass(frozen=True, slots=True)
class Head:
    """What the files say; None where they say nothing."""

    pooling: Pooling | None = None
    normalised: bool | None = None


def read_pooling(folders: Iterable[Path]) -> Head:
    """From the first folders that have such files. Raises EngineFailed if they say what cannot be done, or nothing."""
    places = tuple(folders)
    pooling = next((path for each in places if (path := each / POOLING).is_file()), None)
    modules = next((path for each in places if (path := each / MODULES).is_file()), None)
    return Head(
        pooling=None if pooling is None else _mode(_json(pooling)),
        normalised=None if modules is None else _normalises(_json(modules)),
    )


def _mode(config: Any) -> Pooling:
    told = config if isinstance(config, dict) else {}
    on = sorted(name for name, value in told.items() if name.startswith("pooling_mode_") and value is True)
    if len(on) == 1 and on[0] in _MODES:
        return Pooling(_MODES[on[0]])
    raise EngineFailed(f"Pooling {', '.join(on) or 'none'} cannot be served: only the first token's or the mean is.")


def _normalises(modules: Any) -> bool:
    kinds = [str(one.get("type")) for one in modules if isinstance(one, dict)] if isinstance(modules, list) else []
    names = {kind.rsplit(".", 1)[-1] for kind in kinds}
    if others := sorted(names - {"Transformer", "Pooling", "Normalize"}):
        raise EngineFailed(f"{MODULES} has {others[0]:.60}, which changes the vectors and cannot be served.")
    return "Normalize" in names


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes()[:_BYTES])
    except (OSError, ValueError, RecursionError) as error:
        raise EngineFailed(f"{path.name} cannot be read: {error!s:.120}.") from error
