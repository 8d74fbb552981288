"""Tools of a request as those of a chat: functions only, which the client runs."""

from typing import Any, Literal

from msgspec import Struct

from penstock.web.gemini.schemas import json_schema
from penstock.web.openai.rules import bad

MAX_FUNCTIONS = 32
_MODES = {"AUTO": "auto", "NONE": "none", "ANY": "required"}
_ALLOWED = "toolConfig.functionCallingConfig.allowedFunctionNames"


class FunctionDeclaration(Struct, rename="camel", forbid_unknown_fields=True):
    """A function that the model may call."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    parameters_json_schema: dict[str, Any] | None = None


class Tool(Struct, rename="camel", forbid_unknown_fields=True):
    """Functions. What Google runs itself is not here."""

    function_declarations: list[FunctionDeclaration]


class FunctionCallingConfig(Struct, rename="camel", forbid_unknown_fields=True):
    """Whether functions are to be called, and which."""

    mode: Literal["AUTO", "NONE", "ANY"] = "AUTO"
    allowed_function_names: list[str] | None = None


class ToolConfig(Struct, rename="camel", forbid_unknown_fields=True):
    """How tools are to be used."""

    function_calling_config: FunctionCallingConfig | None = None


def chat_tools(tools: list[Tool] | None, config: ToolConfig | None) -> tuple[list[dict[str, Any]], str | None]:
    """The tools, only the allowed ones if some are, and which is to be called; raises InvalidRequest."""
    functions = [
        _function(f"tools[{place}].functionDeclarations[{index}]", one)
        for place, tool in enumerate(tools or ())
        for index, one in enumerate(tool.function_declarations)
    ]
    if len(functions) > MAX_FUNCTIONS:
        raise bad("tools", f"has {len(functions)} functions; the limit is {MAX_FUNCTIONS}")
    asked = config.function_calling_config if config else None
    if asked is None:
        return functions, None
    if asked.allowed_function_names:
        if asked.mode != "ANY":
            raise bad(_ALLOWED, 'requires mode "ANY"')
        functions = _allowed(functions, asked.allowed_function_names)
    if not functions and asked.mode != "ANY":
        return functions, None
    return functions, _MODES[asked.mode]


def _allowed(functions: list[dict[str, Any]], names: list[str]) -> list[dict[str, Any]]:
    found = {tool["function"]["name"]: tool for tool in functions}
    for name in names:
        if name not in found:
            raise bad(_ALLOWED, f'names the function "{name[:80]}", which is not in parameter "tools"')
    return [found[name] for name in dict.fromkeys(names)]


def _function(where: str, one: FunctionDeclaration) -> dict[str, Any]:
    if one.parameters is not None and one.parameters_json_schema is not None:
        raise bad(f"{where}.parametersJsonSchema", 'cannot be together with "parameters"')
    function: dict[str, Any] = {"name": one.name}
    if one.description is not None:
        function["description"] = one.description
    if one.parameters is not None:
        function["parameters"] = json_schema(one.parameters)
    elif one.parameters_json_schema is not None:
        function["parameters"] = one.parameters_json_schema
    return {"type": "function", "function": function}
