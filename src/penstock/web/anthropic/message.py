"""A message, whole or begun."""

from typing import Any

from penstock.web.openai.chat_answer import FILTERED, LENGTH, STOP, ChatAnswer, Part, Used

_REASONS = {STOP: "end_turn", LENGTH: "max_tokens", "tool_calls": "tool_use", FILTERED: "refusal"}


def message(
    request_id: str, answer: ChatAnswer, content: list[dict[str, Any]], ending: dict[str, Any], used: Used
) -> dict[str, Any]:
    """A message; `ending` is what `ending_of` says of its end."""
    return {
        "id": f"msg_{request_id.replace('-', '')}",
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": content,
        **ending,
        "usage": usage(used),
    }


def ending_of(finish: str | None, sequence: str | None = None) -> dict[str, Any]:
    """Why an answer ended: None if it has not. `sequence` is the stop sequence that ended it, if one did."""
    reason = None if finish is None else _REASONS.get(finish, "end_turn")
    return {"stop_reason": "stop_sequence" if sequence is not None else reason, "stop_sequence": sequence}


def usage(used: Used) -> dict[str, Any]:
    """Tokens. Those that the cache had do not count as input here, but beside it."""
    return {
        "input_tokens": max(used.prompt_tokens - used.cached, 0),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": used.cached,
        "output_tokens": used.completion_tokens,
    }


def block(part: Part) -> dict[str, Any]:
    """A part of an answer; raises EngineFailed if a call's arguments are no JSON object."""
    if not part.calls:
        return {"type": "text", "text": part.text}
    return {"type": "tool_use", "id": part.call_id, "name": part.name, "input": part.arguments}


def begun(part: Part) -> dict[str, Any]:
    """A part of which nothing has come yet."""
    if part.calls:
        return {"type": "tool_use", "id": part.call_id, "name": part.name, "input": {}}
    return {"type": "text", "text": ""}
