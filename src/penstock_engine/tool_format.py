"""How models write calls of functions: what stands before, between and after name and arguments."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from hashlib import blake2b

_NAMED = re.compile(r'"name"\s*:\s*"(?P<name>[^"]+)"\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\{)')
_SHORT_ID = 9


@dataclass(frozen=True, slots=True)
class ToolFormat:
    """One family's way. A call is `head`, the name, `middle`, the arguments as JSON, `tail`.

    All calls of an answer: `marker`, `opening`, calls with `between` between them, `closing`.
    """

    name: str
    marker: str
    opening: str
    head: str
    middle: str
    tail: str
    between: str
    closing: str
    words: tuple[str, ...]
    """Parts of the above that may be tokens of their own."""
    begins: re.Pattern[str] = _NAMED
    """A call's beginning, with its name, right before its arguments."""
    bare: bool = False
    """Whether calls may stand without the marker, at the very beginning of an answer."""
    parallel: bool = True
    """Whether an answer may have several calls."""
    short_ids: bool = False
    """Whether the template takes ids of nine letters and digits only."""
    told: bool = True
    """Whether the model's template tells the model of its tools; else we do."""


LLAMA = ToolFormat(
    name="llama",
    marker="<|python_tag|>",
    opening="",
    head='{"name": "',
    middle='", "parameters": ',
    tail="}",
    between="",
    closing="",
    words=("<|python_tag|>",),
    bare=True,
    parallel=False,
)
"""Llama 3.1 and later: JSON, after the python tag or without it; their templates know one call at a time only."""
HERMES = ToolFormat(
    name="hermes",
    marker="<tool_call>",
    opening="\n",
    head='{"name": "',
    middle='", "arguments": ',
    tail="}",
    between="\n</tool_call>\n<tool_call>\n",
    closing="\n</tool_call>",
    words=("<tool_call>", "</tool_call>"),
)
"""Hermes, Qwen and many after them."""
UNTOLD = replace(HERMES, name="untold", told=False)
"""For models whose templates know no tools, as DBRX and the older Llama and Mistral: they are told in the prompt."""
MISTRAL = ToolFormat(
    name="mistral",
    marker="[TOOL_CALLS]",
    opening="[",
    head='{"name": "',
    middle='", "arguments": ',
    tail="}",
    between=", ",
    closing="]",
    words=("[TOOL_CALLS]",),
    short_ids=True,
)
MISTRAL_ARGS = ToolFormat(
    name="mistral-args",
    marker="[TOOL_CALLS]",
    opening="",
    head="",
    middle="[ARGS]",
    tail="",
    between="[TOOL_CALLS]",
    closing="",
    words=("[TOOL_CALLS]", "[ARGS]"),
    begins=re.compile(r"(?P<name>[A-Za-z0-9_.-]+)\[ARGS\]\s*(?=\{)"),
    short_ids=True,
)
"""Mistral's newer models."""


def format_of(template: str) -> ToolFormat:
    """The way of the model that a chat template was written for."""
    if "[TOOL_CALLS]" in template:
        return MISTRAL_ARGS if "[ARGS]" in template else MISTRAL
    if "<tool_call>" in template:
        return HERMES
    if "<|python_tag|>" in template or ("tools" in template and '"parameters"' in template):
        return LLAMA
    return UNTOLD


def short_id(given: str) -> str:
    """Nine letters and digits, always the same for the same id."""
    if len(given) == _SHORT_ID and given.isalnum() and given.isascii():
        return given
    return blake2b(given.encode("utf-8", "replace"), digest_size=8).hexdigest()[:_SHORT_ID]


def introduction(tools: list[dict[str, object]]) -> str:
    """What a model is told of its tools whose template does not tell it."""
    listed = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)
    return (
        "You can call these functions, which are described in JSON:\n"
        f"<tools>\n{listed}\n</tools>\n"
        "To call one, write its name and its arguments as JSON between tags, like this:\n"
        f'{HERMES.marker}\n{{"name": "the function", "arguments": {{"a parameter": "its value"}}}}\n</tool_call>\n'
        "What it returns comes between <tool_response> and </tool_response>.\n\n"
    )
