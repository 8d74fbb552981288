"""The input of a response, item by item, as messages of a chat."""

from typing import Any

from msgspec import Struct

from penstock.web.openai.rules import bad

MAX_ID = 64
_ROLES = ("user", "assistant", "system", "developer")
_TEXTS = {"assistant": ("output_text", "input_text", "refusal")}
_INPUT_TEXTS = ("input_text", "output_text")


class Content(Struct):
    """One part of an item's content."""

    type: str
    text: str | None = None
    refusal: str | None = None


class Item(Struct):
    """A message, a call of a function, or what a function has given. Fields that only tell of an item are let pass."""

    type: str = "message"
    id: str | None = None
    role: str | None = None
    content: str | list[Content] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | list[Content] | None = None


def messages_of(given: str | list[Item]) -> list[dict[str, Any]]:
    """The messages; raises InvalidRequest that names the item's field and its rule."""
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    messages: list[dict[str, Any]] = []
    for index, item in enumerate(given):
        where = f"input[{index}]"
        _check_ids(where, item)
        if item.type == "message":
            messages.append(_message(where, item))
        elif item.type == "function_call":
            _add_call(messages, where, item)
        elif item.type == "function_call_output":
            call_id = _needed(f"{where}.call_id", item.call_id)
            if item.output is None:
                raise bad(f"{where}.output", "is required")
            output = _text(f"{where}.output", item.output, _INPUT_TEXTS)
            messages.append({"role": "tool", "tool_call_id": call_id, "content": output})
        else:
            raise bad(
                f"{where}.type",
                f'must be "message", "function_call" or "function_call_output", but is "{item.type[:80]}"',
            )
    return messages


def _check_ids(where: str, item: Item) -> None:
    for name, value in (("id", item.id), ("call_id", item.call_id)):
        if value is not None and len(value) > MAX_ID:
            raise bad(f"{where}.{name}", f"has {len(value)} characters; the limit is {MAX_ID}")


def _message(where: str, item: Item) -> dict[str, Any]:
    if item.role not in _ROLES:
        raise bad(f"{where}.role", f"must be one of {', '.join(_ROLES)}")
    if item.content is None:
        raise bad(f"{where}.content", "is required")
    allowed = _TEXTS.get(item.role, _INPUT_TEXTS)
    return {"role": item.role, "content": _text(f"{where}.content", item.content, allowed)}


def _add_call(messages: list[dict[str, Any]], where: str, item: Item) -> None:
    """Calls that follow each other, or a text of the model, were made in one turn."""
    function = {"name": _needed(f"{where}.name", item.name), "arguments": _needed(f"{where}.arguments", item.arguments)}
    call = {"id": _needed(f"{where}.call_id", item.call_id), "type": "function", "function": function}
    if messages and messages[-1]["role"] == "assistant":
        messages[-1].setdefault("tool_calls", []).append(call)
    else:
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})


def _needed(where: str, value: str | None) -> str:
    if value is None:
        raise bad(where, "is required")
    return value


def _text(where: str, content: str | list[Content], allowed: tuple[str, ...]) -> str | list[dict[str, str]]:
    if isinstance(content, str):
        return content
    texts = []
    for index, part in enumerate(content):
        if part.type not in allowed:
            names = " or ".join(f'"{name}"' for name in allowed)
            raise bad(f"{where}[{index}].type", f'must be {names}, but is "{part.type[:80]}"')
        text = part.refusal if part.type == "refusal" else part.text
        if text is None:
            raise bad(f"{where}[{index}].text", "is required")
        texts.append(text)
    return texts[0] if len(texts) == 1 else [{"type": "text", "text": text} for text in texts]
