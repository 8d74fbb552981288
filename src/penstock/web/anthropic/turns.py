"""Turns of a conversation, block by block, as messages of a chat."""

from typing import Any, Literal

import msgspec
from msgspec import Struct

from penstock.web.openai.rules import bad

_TEXTS = ("text",)
_BLOCKS = {
    "user": ("text", "tool_result"),
    "assistant": ("text", "tool_use"),
    "system": _TEXTS,
}


class Block(Struct):
    """One block of content. Fields that only tell of a block, such as marks for a cache, are let pass."""

    type: str
    text: str | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None
    tool_use_id: str | None = None
    content: "str | list[Block] | None" = None
    is_error: bool | None = None


class Turn(Struct):
    """One turn."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


def messages_of(turns: list[Turn]) -> list[dict[str, Any]]:
    """The messages; raises InvalidRequest that names the block's field and its rule."""
    messages: list[dict[str, Any]] = []
    for index, turn in enumerate(turns):
        where = f"messages[{index}].content"
        if isinstance(turn.content, str):
            messages.append({"role": turn.role, "content": turn.content})
            continue
        _check_types(where, turn.content, _BLOCKS[turn.role])
        messages += _results(where, turn.content)
        texts = [block for block in turn.content if block.type == "text"]
        calls = _calls(where, turn.content)
        if texts or calls or not turn.content:
            message: dict[str, Any] = {
                "role": turn.role,
                "content": texts_of(where, texts) if texts or not calls else None,
            }
            messages.append(message | ({"tool_calls": calls} if calls else {}))
    return messages


def texts_of(where: str, content: str | list[Block]) -> str | list[dict[str, str]]:
    """Content that is texts only; raises InvalidRequest."""
    if isinstance(content, str):
        return content
    _check_types(where, content, _TEXTS)
    texts = [_needed(f"{where}[{index}].text", block.text) for index, block in enumerate(content)]
    return "".join(texts) if len(texts) <= 1 else [{"type": "text", "text": text} for text in texts]


def _check_types(where: str, blocks: list[Block], allowed: tuple[str, ...]) -> None:
    for index, block in enumerate(blocks):
        if block.type not in allowed:
            names = " or ".join(f'"{name}"' for name in allowed)
            raise bad(f"{where}[{index}].type", f'must be {names}, but is "{block.type[:80]}"')


def _results(where: str, blocks: list[Block]) -> list[dict[str, Any]]:
    """What functions have given. A chat has no mark for a failure, so it is said in words."""
    messages = []
    for index, block in enumerate(blocks):
        if block.type == "tool_result":
            at = f"{where}[{index}]"
            content = texts_of(f"{at}.content", block.content or "")
            if block.is_error:
                told = content if isinstance(content, str) else "".join(part["text"] for part in content)
                content = f"Error: {told}"
            call_id = _needed(f"{at}.tool_use_id", block.tool_use_id)
            messages.append({"role": "tool", "tool_call_id": call_id, "content": content})
    return messages


def _calls(where: str, blocks: list[Block]) -> list[dict[str, Any]]:
    calls = []
    for index, block in enumerate(blocks):
        if block.type == "tool_use":
            at = f"{where}[{index}]"
            function = {
                "name": _needed(f"{at}.name", block.name),
                "arguments": msgspec.json.encode(block.input or {}).decode(),
            }
            calls.append({"id": _needed(f"{at}.id", block.id), "type": "function", "function": function})
    return calls


def _needed(where: str, value: str | None) -> str:
    if value is None:
        raise bad(where, "is required")
    return value
