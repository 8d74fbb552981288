"""What the shapes of all answers have in common."""

from typing import Any, TypeAlias, TypeVar

from msgspec import UNSET, Struct, UnsetType

_Value = TypeVar("_Value")
Maybe: TypeAlias = _Value | UnsetType
"""What may be absent; its default is UNSET."""


class Shape(Struct, kw_only=True, forbid_unknown_fields=True):
    """An object in an answer."""


class Nothing(Shape):
    """An empty object."""


class Pair(Shape):
    """A tag."""

    key: str
    value: str


class OpenApi(Shape):
    """An OpenAPI document."""

    openapi: str
    info: dict[str, Any]
    paths: dict[str, Any]
    servers: Maybe[list[dict[str, Any]]] = UNSET
    components: Maybe[dict[str, Any]] = UNSET
    security: Maybe[list[dict[str, Any]]] = UNSET
