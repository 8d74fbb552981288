"""Names and schemas as Google writes them, in the words of JSON and JSON Schema."""

import re
from typing import Any

import msgspec

_SNAKE = re.compile(rb'"[a-z0-9]+_[a-z0-9_]+"\s*:')
_OPAQUE = frozenset(
    {"args", "response", "parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema", "usageContext"}
)
"""What they hold is not ours to name."""
_SIZES = frozenset({"minItems", "maxItems", "minProperties", "maxProperties", "minLength", "maxLength"})
_ONLY_GOOGLES = frozenset({"nullable", "propertyOrdering"})
_WIDTHS = frozenset({"enum", "int32", "int64", "float", "double"})
"""Formats that say how a value is stored, and not which values there are."""


def in_camel_case(body: bytes) -> bytes:
    """A body whose fields are called as documented: Google takes `system_instruction` for `systemInstruction`."""
    if _SNAKE.search(body) is None:
        return body
    try:
        return msgspec.json.encode(_renamed(msgspec.json.decode(body)))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body


def json_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema of Google's (a part of OpenAPI's, with types in capitals) as one of JSON Schema."""
    found = {}
    for spelt, value in schema.items():
        name = _camel(spelt)
        if name not in _ONLY_GOOGLES and not (name == "format" and str(value) in _WIDTHS):
            found[name] = _keyword(name, value)
    if schema.get("nullable"):
        _add_null(found)
    return found


def _keyword(name: str, value: Any) -> Any:
    if name == "type" and isinstance(value, str):
        return value.lower()
    if name == "properties" and isinstance(value, dict):
        return {one: json_schema(each) if isinstance(each, dict) else each for one, each in value.items()}
    if name in ("items", "additionalProperties") and isinstance(value, dict):
        return json_schema(value)
    if name in ("anyOf", "prefixItems") and isinstance(value, list):
        return [json_schema(each) if isinstance(each, dict) else each for each in value]
    if name in _SIZES and isinstance(value, str) and value.isdigit():
        return int(value)
    return value


def _add_null(schema: dict[str, Any]) -> None:
    if isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
    if isinstance(schema.get("anyOf"), list):
        schema["anyOf"] = [*schema["anyOf"], {"type": "null"}]
    if isinstance(schema.get("enum"), list):
        schema["enum"] = [*schema["enum"], None]


def _renamed(value: Any) -> Any:
    if isinstance(value, list):
        return [_renamed(one) for one in value]
    if isinstance(value, dict):
        named = ((_camel(name), one) for name, one in value.items())
        return {name: one if name in _OPAQUE else _renamed(one) for name, one in named}
    return value


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)
