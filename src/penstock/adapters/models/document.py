"""JSON and YAML files from strangers: bounded in size, never executed, typed where they are read."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

JSON_BYTES = 16 << 20
YAML_BYTES = 256 << 10


class Damaged(Exception):
    """A file is not what it should be; the message says how, in words for the person who registered it."""


@dataclass(frozen=True, slots=True)
class Document:
    """A mapping read from a file; `where` names it in messages."""

    values: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""

    def part(self, name: str) -> "Document":
        """A nested mapping; empty if it is missing or something else."""
        value = self.values.get(name)
        return Document(value if isinstance(value, dict) else {}, f"{self.where}: {name}")

    def text(self, name: str) -> str | None:
        """A string, or None."""
        value = self.values.get(name)
        return value if isinstance(value, str) else None

    def has(self, name: str) -> bool:
        """Whether the field is there and not null, false or empty."""
        return bool(self.values.get(name))

    def integer(self, name: str, default: int | None = None, high: int = 1 << 31) -> int:
        """A whole number from 1 to `high`; raises Damaged naming the field."""
        value = self.values.get(name)
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= high:
            raise Damaged(f"{self.where}: {name} must be a whole number from 1 to {high}, not {value!r:.60}.")
        return value


def read_bytes(path: Path, limit: int) -> bytes:
    """A small file's content; raises Damaged if it is larger than `limit` bytes or not there."""
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except FileNotFoundError as error:
        raise Damaged(f"{path.name} is missing.") from error
    except OSError as error:
        raise Damaged(f"{path.name} cannot be read: {error.strerror}.") from error
    if len(content) > limit:
        raise Damaged(f"{path.name} is larger than {limit} bytes.")
    return content


def read_json(path: Path, limit: int = JSON_BYTES) -> Document:
    """A JSON object; raises Damaged."""
    return parse_json(read_bytes(path, limit), path.name)


def parse_json(content: bytes, where: str) -> Document:
    """A JSON object; raises Damaged, also when it is nested too deeply."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{where} is not valid JSON: {str(error) or type(error).__name__:.120}.") from error
    if not isinstance(values, dict):
        raise Damaged(f"{where} must be a JSON object.")
    return Document(values, where)


def read_yaml(path: Path) -> Document:
    """A YAML mapping whose scalars are all strings; raises Damaged.

    The base loader builds strings, lists and mappings only: no tags, no merge keys. Aliases share what they name, so
    they cannot multiply it.
    """
    content = read_bytes(path, YAML_BYTES)
    try:
        values = yaml.load(content, Loader=yaml.BaseLoader)  # noqa: S506 - it knows strings, lists and mappings only
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Damaged(f"{path.name} is not valid YAML: {str(error).splitlines()[0] if str(error) else ''}.") from error
    if not isinstance(values, dict):
        raise Damaged(f"{path.name} must be a YAML mapping.")
    return Document(values, path.name)
