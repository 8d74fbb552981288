"""Bounds of numbers that leave no integer of 64 bits: llguidance cuts them to these, and may die looking for one."""

from __future__ import annotations

from typing import Any

MOST = 2**63 - 1
_LEAST = ("minimum", "exclusiveMinimum")
_UPMOST = ("maximum", "exclusiveMaximum")


def out_of_bounds(schema: Any) -> str:
    """A keyword whose number is so large, or so far below zero, with it; empty if there is none.

    Looks everywhere, as a reference may lead to any place, also into a value.
    """
    waiting = [schema]
    while waiting:
        each = waiting.pop()
        if isinstance(each, list):
            waiting.extend(each)
        elif isinstance(each, dict):
            for key, value in each.items():
                sign = 1 if key in _LEAST else -1 if key in _UPMOST else 0
                if sign and isinstance(value, int | float) and sign * value >= MOST:
                    return f'"{key}" {value}'
            waiting.extend(each.values())
    return ""
