"""Forms that vLLM is not given: its library of grammars dies of bounds that leave no integer of 64 bits."""

from typing import Any

from penstock.domain.errors import InvalidRequest

_LEAST = -(2**63) + 1
_FIELDS = ("response_format", "tools")


def check_forms(body: dict[str, Any]) -> None:
    """Raises InvalidRequest naming the field and the bound."""
    for field in _FIELDS:
        waiting: list[Any] = [body.get(field)]
        while waiting:
            each = waiting.pop()
            if isinstance(each, dict):
                _check_bounds(field, each)
                waiting.extend(each.values())
            elif isinstance(each, list):
                waiting.extend(each)


def _check_bounds(field: str, schema: dict[str, Any]) -> None:
    for key in ("maximum", "exclusiveMaximum"):
        bound = schema.get(key)
        if isinstance(bound, int | float) and bound <= _LEAST:
            raise InvalidRequest(
                f'Invalid JSON schema - "{key}" {bound} leaves no integer of 64 bits (in parameter "{field}")'
            )
