"""Tools of a response as those of a chat: functions only, which the client runs."""

from collections.abc import Collection
from typing import Any

from msgspec import Struct

from penstock.web.openai.rules import TOOL_CHOICES, bad


class Tool(Struct, forbid_unknown_fields=True):
    """A tool that the model may call."""

    type: str
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


def chat_tools(tools: list[Tool] | None) -> list[dict[str, Any]]:
    """The tools; raises InvalidRequest that names the one that is not a function."""
    found = []
    for index, tool in enumerate(tools or ()):
        if tool.type != "function":
            raise bad(f"tools[{index}].type", f'must be "function", but is "{tool.type[:80]}"')
        if not tool.name:
            raise bad(f"tools[{index}].name", "is required")
        function = {
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters,
            "strict": tool.strict,
        }
        found.append(
            {"type": "function", "function": {name: value for name, value in function.items() if value is not None}}
        )
    return found


def chat_choice(choice: Any, names: Collection[str]) -> Any:
    """Which tool is to be called, None if there is nothing to choose; raises InvalidRequest."""
    if not names and choice in ("auto", "none"):
        return None
    if choice is None or (isinstance(choice, str) and choice in TOOL_CHOICES):
        return choice
    name = choice.get("name") if isinstance(choice, dict) and choice.get("type") == "function" else None
    if not isinstance(name, str):
        raise bad("tool_choice", 'must be "auto", "none", "required" or {"type": "function", "name": ...}')
    if name not in names:
        raise bad("tool_choice", f'names the function "{name[:80]}", which is not in parameter "tools"')
    return {"type": "function", "function": {"name": name}}
