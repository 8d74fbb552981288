"""Tools of a message as those of a chat: the client's own only, which it runs."""

from collections.abc import Collection
from typing import Any, Literal

from msgspec import Struct

from penstock.web.openai.rules import bad

_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


class Tool(Struct, forbid_unknown_fields=True):
    """A tool that the model may call. Marks for a cache, and for sending arguments early, change nothing."""

    name: str
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None
    cache_control: Any = None
    eager_input_streaming: bool | None = None


class ToolChoice(Struct):
    """Which tool is to be called."""

    type: Literal["auto", "any", "none", "tool"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


def chat_tools(tools: list[Tool] | None) -> list[dict[str, Any]]:
    """The tools; raises InvalidRequest that names the one that the client does not run."""
    found = []
    for index, tool in enumerate(tools or ()):
        if tool.type not in (None, "custom"):
            raise bad(f"tools[{index}].type", f'must be "custom", but is "{tool.type[:80]}"')
        if tool.input_schema is None:
            raise bad(f"tools[{index}].input_schema", "is required")
        function = {
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.input_schema,
            "strict": tool.strict,
        }
        found.append(
            {"type": "function", "function": {name: value for name, value in function.items() if value is not None}}
        )
    return found


def chat_choice(choice: ToolChoice | None, names: Collection[str]) -> Any:
    """Which tool is to be called, None if there is nothing to choose; raises InvalidRequest."""
    if choice is None or (not names and choice.type in ("auto", "none")):
        return None
    if choice.type != "tool":
        return _CHOICES[choice.type]
    if choice.name not in names:
        raise bad("tool_choice.name", 'must be the name of one of parameter "tools"')
    return {"type": "function", "function": {"name": choice.name}}
