"""A model's config.json, read as typed values: what is missing or of the wrong type is said by name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock_engine.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Config:
    """The fields of config.json. Every reader raises CheckpointError that names the field and the rule."""

    fields: dict[str, object]
    where: str = "config.json"

    @staticmethod
    def read(path: Path) -> Config:
        """Raises CheckpointError if the file is missing, too large or not a JSON object."""
        try:
            if path.stat().st_size > MAX_BYTES:
                raise CheckpointError(f"{path.name} is larger than {MAX_BYTES} bytes")
            fields = json.loads(path.read_text("utf-8"))
        except FileNotFoundError as error:
            raise CheckpointError(f"{path.name} is missing") from error
        except (ValueError, RecursionError, OSError) as error:
            raise CheckpointError(f"{path.name} cannot be read: {error}") from error
        if not isinstance(fields, dict):
            raise CheckpointError(f"{path.name} must be a JSON object")
        return Config(fields, path.name)

    def integer(self, name: str, default: int | None = None, low: int = 1, high: int = 1 << 31) -> int:
        """A whole number from low to high; a default makes a missing or null field legal."""
        value = self.fields.get(name)
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise CheckpointError(
                f"{self.where}: {name} must be a whole number from {low} to {high}, not {value!r:.80}"
            )
        return value

    def number(self, name: str, default: float | None = None, low: float = 0.0, high: float = 1e12) -> float:
        """A number above low, high at most; a default makes a missing or null field legal."""
        value = self.fields.get(name)
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low < value <= high:
            raise CheckpointError(f"{self.where}: {name} must be a number above {low}, not {value!r:.80}")
        return float(value)

    def text(self, name: str, default: str | None = None) -> str:
        """A string."""
        value = self.fields.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise CheckpointError(f"{self.where}: {name} must be a string, not {value!r:.80}")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self.fields.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise CheckpointError(f"{self.where}: {name} must be true or false, not {value!r:.80}")
        return value

    def has(self, name: str) -> bool:
        """Whether the field is there with a value other than null."""
        return self.fields.get(name) is not None

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings; empty if the field is missing."""
        value = self.fields.get(name)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise CheckpointError(f"{self.where}: {name} must be a list of strings, not {value!r:.80}")
        return tuple(value)

    def part(self, name: str) -> Config | None:
        """A nested object, or None if the field is missing or null."""
        value = self.fields.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise CheckpointError(f"{self.where}: {name} must be an object, not {value!r:.80}")
        return Config(value, f"{self.where}: {name}")
