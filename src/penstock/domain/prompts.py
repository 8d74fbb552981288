"""Prompts as bodies give them: one text, the tokens of one, or a list of several."""

from typing import Any


def is_tokens(value: Any) -> bool:
    """Whether it is one prompt, told as its tokens."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], int)


def count_prompts(value: Any) -> int:
    """How many there are; nothing counts as one."""
    return max(len(value), 1) if isinstance(value, list) and not is_tokens(value) else 1
