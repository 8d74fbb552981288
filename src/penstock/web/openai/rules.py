"""Rules of request fields that types cannot say."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from penstock.domain.errors import InvalidRequest

TOOL_TYPES = frozenset({"function"})
TOOL_CHOICES = frozenset({"auto", "none", "required"})


def bad(field: str, rule: str) -> InvalidRequest:
    """The error of a field that is against its rule, in the platform's form."""
    return InvalidRequest(f'Bad request: parameter "{field}" {rule}')


def check_texts(field: str, value: str | Sequence[Any]) -> None:
    """A text, a list of texts, a list of tokens or a list of such lists, and not an empty list; else InvalidRequest."""
    if isinstance(value, str):
        return
    if not value:
        raise bad(field, "must not be an empty list")
    kind = type(value[0])
    same = all(type(item) is kind for item in value)
    tokens = kind is list and all(type(token) is int for item in value for token in item) and all(value)
    if not same or not (kind in (str, int) or tokens):
        raise bad(field, "must be a text, a list of texts, a list of tokens or a list of such lists")


def check_json_word(field: str, texts: str) -> None:
    """Whoever wants an object must say so in words too: the word must be in the texts; else InvalidRequest."""
    if "json" not in texts.lower():
        raise InvalidRequest(
            f'Bad request: "{field}" must contain the word "json" in some form, to use "response_format" of type '
            '"json_object".'
        )


def check_tools(tools: Sequence[tuple[str, str | None]]) -> None:
    """Tools as (type, function's name): functions, each with its name; else InvalidRequest."""
    for index, (kind, name) in enumerate(tools):
        if kind not in TOOL_TYPES:
            raise bad(f"tools[{index}].type", f'must be "function", but is "{kind[:80]}"')
        if name is None:
            raise bad(f"tools[{index}].function", "is required")


def check_parameters(given: Iterable[bool]) -> None:
    """Whether each function says its parameters, which the platform requires; else InvalidRequest in its words."""
    if not all(given):
        raise InvalidRequest(
            'Bad request: "parameters" is a required property for "function" object in parameter "tools"'
        )


def check_tool_choice(choice: Any, names: Collection[str | None]) -> None:
    """Null, `auto`, `none`, `required` or one of the tools by name; else InvalidRequest."""
    if choice is None or (isinstance(choice, str) and choice in TOOL_CHOICES):
        return
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str):
        raise bad(
            "tool_choice", 'must be "auto", "none", "required" or {"type": "function", "function": {"name": ...}}'
        )
    if name not in names:
        raise bad("tool_choice", f'names the function "{name[:80]}", which is not in parameter "tools"')
