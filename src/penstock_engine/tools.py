"""Functions that a request offers to the model, and which of them it may or must call."""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

from penstock_engine.refusal import BadRequest

MAX_TOOLS = 128
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_CHOICE = 'must be "auto", "none", "required" or {"type": "function", "function": {"name": ...}}'


class Function(Struct):
    """What a tool does. `parameters` is a JSON schema of an object; `strict` asks that it is followed to the letter."""

    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    @property
    def schema(self) -> dict[str, Any]:
        """The schema of its arguments, which are always an object."""
        return {"type": "object", **(self.parameters or {"properties": {}})}

    def told(self) -> dict[str, Any]:
        """The function as templates show it to the model."""
        about = {"name": self.name, "description": self.description or "", "parameters": self.schema}
        return {"type": "function", "function": about}


class Tool(Struct):
    """A tool that the model may call."""

    type: str
    function: Function | None = None


class Tools(Struct, frozen=True):
    """What may be called; `required`: nothing else may be answered."""

    functions: list[Function]
    required: bool
    parallel: bool


def tools_of(tools: list[Tool] | None, choice: Any, *, parallel: bool | None) -> Tools | None:
    """What a request lets the model call, None if nothing. Raises BadRequest, naming the field and its rule."""
    functions = [_function(tool, f"tools[{place}]") for place, tool in enumerate(tools or ())]
    if len(functions) > MAX_TOOLS:
        raise BadRequest(f'parameter "tools" has {len(functions)} functions; the limit is {MAX_TOOLS}')
    names = [function.name for function in functions]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise BadRequest(f'parameter "tools" has the function "{twice}" twice')
    name = _named(choice)
    if name is None:
        if choice == "required" and not functions:
            raise BadRequest('parameter "tool_choice" must not be "required" without "tools"')
        if not functions or choice == "none":
            return None
        return Tools(functions, choice == "required", parallel is not False)
    chosen = [function for function in functions if function.name == name]
    if not chosen:
        raise BadRequest(f'parameter "tool_choice" names the function "{name[:80]}", which is not in parameter "tools"')
    return Tools(chosen, required=True, parallel=False)


def _function(tool: Tool, where: str) -> Function:
    function = tool.function
    if tool.type != "function":
        raise BadRequest(f'parameter "{where}.type" must be "function", but is "{tool.type[:80]}"')
    if function is None:
        raise BadRequest(f'parameter "{where}.function" is required')
    if not function.name:
        raise BadRequest(f'parameter "{where}.function.name" is required')
    if _NAME.fullmatch(function.name) is None:
        raise BadRequest(f'parameter "{where}.function.name" must be 1 to 64 of letters, digits, "_", "-" and "."')
    if function.schema["type"] != "object":
        raise BadRequest(f'parameter "{where}.function.parameters" must be a schema of type "object"')
    return function


def _named(choice: Any) -> str | None:
    """The function that a choice names, None for the choices that are words."""
    if choice is None or (isinstance(choice, str) and choice in ("auto", "none", "required")):
        return None
    function = choice.get("function") if isinstance(choice, dict) and choice.get("type") == "function" else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str):
        raise BadRequest(f'parameter "tool_choice" {_CHOICE}')
    return name
