"""A response, as it stands: begun, complete, cut short or failed."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from penstock.web.openai.chat_answer import FILTERED, LENGTH, ChatAnswer, Part, Used
from penstock.web.responses.items import MAX_ID
from penstock.web.responses.request import ResponsesRequest

COMPLETED = "completed"
INCOMPLETE = "incomplete"
IN_PROGRESS = "in_progress"
FAILED = "failed"
_SHORT = {LENGTH: "max_output_tokens", FILTERED: "content_filter"}
_ERRORS = {"REQUEST_LIMIT_EXCEEDED": "rate_limit_exceeded", "BAD_REQUEST": "invalid_prompt"}
"""The client's library knows few codes; all others are the server's."""


@dataclass(frozen=True, slots=True)
class Naming:
    """Ids of a response and its items; each is at most 64 characters long, as clients must be able to send it back."""

    request_id: str

    @property
    def response(self) -> str:
        """The response's id."""
        return f"resp_{self._plain}"

    def item(self, part: Part) -> str:
        """An item's id."""
        return f"{'fc' if part.calls else 'msg'}_{self._plain}_{part.index}"

    def call(self, part: Part) -> str:
        """A call's id; a provider's own where it is short enough."""
        if len(part.call_id) <= MAX_ID:
            return part.call_id
        return f"call_{hashlib.sha256(part.call_id.encode()).hexdigest()[:32]}"

    @property
    def _plain(self) -> str:
        return self.request_id.replace("-", "")


def status_of(finish: str) -> str:
    """The status of a response whose chat ended so."""
    return INCOMPLETE if finish in _SHORT else COMPLETED


def response(
    request: ResponsesRequest, naming: Naming, answer: ChatAnswer, output: Sequence[dict[str, Any]], status: str
) -> dict[str, Any]:
    """A response; what it used, and why it is not complete, is added by `ended` and `failed`."""
    text = request.text.format if request.text else None
    return {
        "id": naming.response,
        "object": "response",
        "created_at": int(answer.created),
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": request.instructions,
        "max_output_tokens": request.max_output_tokens,
        "metadata": request.metadata or {},
        "model": answer.model or request.model,
        "output": list(output),
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "previous_response_id": None,
        "prompt_cache_key": request.prompt_cache_key,
        "reasoning": {"effort": request.reasoning.effort if request.reasoning else None, "summary": None},
        "safety_identifier": request.safety_identifier,
        "service_tier": "default",
        "store": False,
        "temperature": 1.0 if request.temperature is None else request.temperature,
        "text": {"format": text or {"type": "text"}},
        "tool_choice": request.tool_choice or "auto",
        "tools": request.tools or [],
        "top_logprobs": request.top_logprobs or 0,
        "top_p": 1.0 if request.top_p is None else request.top_p,
        "truncation": "disabled",
        "usage": None,
        "user": request.user,
    }


def ended(body: dict[str, Any], finish: str, used: Used) -> dict[str, Any]:
    """The response with what it used, and why it was cut short if it was."""
    reason = _SHORT.get(finish)
    return body | {"incomplete_details": {"reason": reason} if reason else None, "usage": _usage(used)}


def failed(body: dict[str, Any], code: str, message: str, used: Used) -> dict[str, Any]:
    """The response with what went wrong, and what it used until then."""
    error = {"code": _ERRORS.get(code, "server_error"), "message": message}
    return body | {"error": error, "usage": _usage(used)}


def item(naming: Naming, part: Part, status: str) -> dict[str, Any]:
    """A part of the answer as an item, as far as it is there."""
    if part.calls:
        return {
            "type": "function_call",
            "id": naming.item(part),
            "call_id": naming.call(part),
            "name": part.name,
            "arguments": part.text,
            "status": status,
        }
    return {
        "type": "message",
        "id": naming.item(part),
        "role": "assistant",
        "status": status,
        "content": [] if status == IN_PROGRESS else [content(part)],
    }


def content(part: Part | None) -> dict[str, Any]:
    """A text; None for one that has not begun."""
    text, logprobs = (part.text, part.logprobs) if part else ("", [])
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}


def _usage(used: Used) -> dict[str, Any]:
    return {
        "input_tokens": used.prompt_tokens,
        "input_tokens_details": {"cached_tokens": used.cached, "cache_write_tokens": 0},
        "output_tokens": used.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": used.reasoning},
        "total_tokens": used.prompt_tokens + used.completion_tokens,
    }
