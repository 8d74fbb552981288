"""The marks in an engine's cache which say that a version was prepared."""

import hashlib
from pathlib import Path

from penstock.ports.engine import EngineSpec


def mark_of(spec: EngineSpec, engine: str) -> Path:
    """The file whose existence says that `engine`, by version, has prepared it."""
    what = f"{spec.model.resolve()}\n{spec.precision}\n{engine}"
    return spec.cache / f"built-{hashlib.sha256(what.encode()).hexdigest()[:32]}"
