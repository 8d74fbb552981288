"""The schemas of types, each named once in a document."""

from collections.abc import Iterable
from typing import Any

import msgspec

REFERENCE = "#/components/schemas/{name}"


class Components:
    """Schemas of types; `schemas` are those that have a name."""

    def __init__(self, types: Iterable[Any]) -> None:
        once = list(dict.fromkeys(types))
        found, self.schemas = msgspec.json.schema_components(once, ref_template=REFERENCE)
        self._found: dict[Any, dict[str, Any]] = dict(zip(once, found, strict=True))

    def of(self, one: Any) -> dict[str, Any]:
        """The schema of one of the types."""
        return self._found[one]
