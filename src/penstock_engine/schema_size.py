"""How many characters a choice of the model may cost: so much must be left of an answer before it may choose."""

from __future__ import annotations

import json
from typing import Any

_ANY = 8
"""The shortest value of a schema that does not say what it is, and any small step inside of a value."""
_OPEN_STRING = 48
"""For strings of a pattern or a format, whose shortest one is not known."""
_MOST = 4096
_DEPTH = 32
_MAPS = ("properties", "patternProperties", "$defs", "definitions")
_ONE = ("items", "additionalProperties", "additionalItems")
_MANY = ("anyOf", "oneOf", "allOf", "prefixItems")
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_WORDS = {"null": 4, "boolean": 5}


def least(schema: dict[str, Any]) -> int:
    """Characters of the schema's shortest value, as an upper bound."""
    return _Sizes(schema).least(schema)


def largest_step(schema: dict[str, Any]) -> int:
    """Characters by which one choice in the middle of a value may put off its end, as an upper bound.

    Such a choice begins something that need not be there: an optional property, one more item, the longer alternative.
    """
    sizes = _Sizes(schema)
    return max((sizes.step(each) for each in schemas_in(schema)), default=_ANY)


def schemas_in(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The schema and all schemas in it, each once."""
    found: dict[int, dict[str, Any]] = {}
    waiting: list[Any] = [schema]
    while waiting:
        each = waiting.pop()
        if not isinstance(each, dict) or id(each) in found:
            continue
        found[id(each)] = each
        for key in _MAPS:
            inner = each.get(key)
            waiting.extend(inner.values() if isinstance(inner, dict) else ())
        waiting.extend(each[key] for key in _ONE if key in each)
        for key in _MANY:
            waiting.extend(_list(each, key))
    return list(found.values())


def pointed(root: dict[str, Any], reference: str) -> Any:
    """What a reference into the schema itself points at, None for others."""
    found: Any = root
    for step in reference.removeprefix("#").split("/")[1:]:
        found = _within(found, step.replace("~1", "/").replace("~0", "~"))
    return found


def _within(schema: Any, step: str) -> Any:
    if isinstance(schema, list):
        return schema[int(step)] if step.isdecimal() and int(step) < len(schema) else None
    return schema.get(step) if isinstance(schema, dict) else None


class _Sizes:
    """Every schema is measured once; one that needs itself counts as a scalar there."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._known: dict[int, int] = {}
        self._depth = 0

    def least(self, schema: Any) -> int:
        """Characters of the schema's shortest value."""
        if not isinstance(schema, dict) or self._depth > _DEPTH:
            return _ANY
        if id(schema) not in self._known:
            self._known[id(schema)] = _ANY
            self._depth += 1
            self._known[id(schema)] = min(self._measured(schema), _MOST)
            self._depth -= 1
        return self._known[id(schema)]

    def step(self, schema: dict[str, Any]) -> int:
        """Characters by which one choice of the schema's own may put off the end of its value."""
        properties, needed = _map(schema, "properties"), _list(schema, "required")
        steps = [_ANY, *(_key(name) + self.least(value) for name, value in properties.items() if name not in needed)]
        steps += [_ANY + self.least(value) for value in _map(schema, "patternProperties").values()]
        steps += [_ANY + self.least(schema[key]) for key in _ONE if key in schema]
        steps += [2 + self.least(one) for one in _list(schema, "prefixItems")]
        steps += [self.least(one) for key in ("anyOf", "oneOf") for one in _list(schema, key)]
        steps += [len(json.dumps(one)) for one in _list(schema, "enum")]
        steps.append(_string(schema) if {"pattern", "format"} & set(schema) else 0)
        return min(max(steps), _MOST)

    def _measured(self, schema: dict[str, Any]) -> int:
        if "const" in schema:
            return len(json.dumps(schema["const"]))
        if _list(schema, "enum"):
            return max(len(json.dumps(one)) for one in schema["enum"])
        kind = schema.get("type")
        sizes = [_WORDS.get(kind, _ANY) if isinstance(kind, str) else _ANY]
        sizes += [len(str(schema[bound])) + 1 for bound in _BOUNDS if bound in schema]
        sizes += [_string(schema), self._array(schema), self._object(schema)]
        if isinstance(schema.get("$ref"), str):
            sizes.append(self.least(pointed(self._root, schema["$ref"])))
        sizes += [self.least(one) for key in ("anyOf", "oneOf") for one in _list(schema, key)]
        return max(sizes) + sum(self.least(one) for one in _list(schema, "allOf"))

    def _array(self, schema: dict[str, Any]) -> int:
        count = min(_number(schema, "minItems"), _MOST)
        first = _list(schema, "prefixItems")[:count]
        size = 2 + sum(self.least(one) + 2 for one in first)
        return size + (count - len(first)) * (self.least(schema.get("items")) + 2)

    def _object(self, schema: dict[str, Any]) -> int:
        known = _map(schema, "properties")
        needed = [name for name in _list(schema, "required") if isinstance(name, str)]
        return 2 + sum(_key(name) + self.least(known.get(name)) for name in needed)


def _key(name: str) -> int:
    return len(json.dumps(name)) + 4


def _map(schema: dict[str, Any], key: str) -> dict[str, Any]:
    value = schema.get(key)
    return value if isinstance(value, dict) else {}


def _string(schema: dict[str, Any]) -> int:
    of_a_kind = {"pattern", "format"} & set(schema)
    return 2 + _number(schema, "minLength") + (_OPEN_STRING + len(str(schema.get("pattern", ""))) if of_a_kind else 0)


def _number(schema: dict[str, Any], key: str) -> int:
    value = schema.get(key, 0)
    return max(0, value) if isinstance(value, int) else 0


def _list(schema: dict[str, Any], key: str) -> list[Any]:
    value = schema.get(key)
    return value if isinstance(value, list) else []
