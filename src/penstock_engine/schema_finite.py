"""Whether a schema has a value that ends: one that needs itself for every value of it has none."""

from __future__ import annotations

from typing import Any

from penstock_engine.schema_size import pointed, schemas_in

_ROUNDS = 64
"""Each finds out about schemas that need those of the round before; what is still open then is left to the answer."""
_TYPES = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
_NESTED = frozenset({"array", "object"})


def has_end(root: dict[str, Any]) -> bool:
    """False if every value of the schema would hold a further one without end."""
    schemas = schemas_in(root)[::-1]
    endless = {id(each) for each in schemas}
    for _ in range(_ROUNDS):
        ending = {id(each) for each in schemas if id(each) in endless and _ends(each, endless, root)}
        if not ending:
            return id(root) not in endless
        endless -= ending
    return True


def _ends(schema: dict[str, Any], endless: set[int], root: dict[str, Any]) -> bool:
    """Whether it has, if those have none that are not known to."""

    def ends(inner: Any) -> bool:
        return id(inner) not in endless and inner is not False

    if "const" in schema or "enum" in schema:
        return True
    if isinstance(schema.get("$ref"), str) and not ends(pointed(root, schema["$ref"])):
        return False
    if not all(map(ends, _list(schema, "allOf"))):
        return False
    if any(ways and not any(map(ends, ways)) for ways in (_list(schema, "anyOf"), _list(schema, "oneOf"))):
        return False
    kinds = _kinds(schema)
    return bool(kinds - _NESTED) or any(all(map(ends, _needed(schema, kind))) for kind in kinds)


def _kinds(schema: dict[str, Any]) -> frozenset[str]:
    given = schema.get("type")
    names = given if isinstance(given, list) else [given]
    return frozenset(name for name in names if isinstance(name, str)) or _TYPES


def _needed(schema: dict[str, Any], kind: str) -> list[Any]:
    """What must be in an array or an object of the schema."""
    if kind == "object":
        properties = schema.get("properties")
        own = properties if isinstance(properties, dict) else {}
        return [
            own.get(name, schema.get("additionalProperties", True))
            for name in _list(schema, "required")
            if isinstance(name, str) and (name in own or "patternProperties" not in schema)
        ]
    least = schema.get("minItems", 0)
    if not isinstance(least, int):
        return []
    first = _list(schema, "prefixItems")[:least]
    return first + [schema.get("items", True)] * (least > len(first))


def _list(schema: dict[str, Any], key: str) -> list[Any]:
    value = schema.get(key)
    return value if isinstance(value, list) else []
