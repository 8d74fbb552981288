"""Answers in the wire formats of others: OpenAI's Responses, Anthropic's Messages and Google's generateContent."""

from typing import Any, Literal

from msgspec import UNSET, Struct

from penstock.web.reference.shapes.shape import Maybe


class ResponseUsage(Struct):
    """Tokens of a response."""

    input_tokens: int
    input_tokens_details: dict[str, int]
    output_tokens: int
    output_tokens_details: dict[str, int]
    total_tokens: int


class ResponseItem(Struct, kw_only=True):
    """A message of the model, or a call of a function."""

    type: Literal["message", "function_call"]
    id: str
    status: str
    role: Maybe[Literal["assistant"]] = UNSET
    content: Maybe[list[dict[str, Any]]] = UNSET
    call_id: Maybe[str] = UNSET
    name: Maybe[str] = UNSET
    arguments: Maybe[str] = UNSET


class ResponseAnswer(Struct, kw_only=True):
    """A response. Beside these fields it repeats those of the request."""

    id: str
    object: Literal["response"]
    created_at: int
    status: Literal["completed", "incomplete", "in_progress", "failed"]
    error: dict[str, str] | None
    incomplete_details: dict[str, str] | None
    model: str
    output: list[ResponseItem]
    usage: ResponseUsage | None


class MessageUsage(Struct):
    """Tokens of a message."""

    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int


class MessageBlock(Struct, kw_only=True):
    """A text, or a call of a tool."""

    type: Literal["text", "tool_use"]
    text: Maybe[str] = UNSET
    id: Maybe[str] = UNSET
    name: Maybe[str] = UNSET
    input: Maybe[dict[str, Any]] = UNSET


class MessageAnswer(Struct, kw_only=True):
    """A message."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[MessageBlock]
    stop_reason: str | None
    stop_sequence: str | None
    usage: MessageUsage


class ContentPart(Struct, kw_only=True, rename="camel"):
    """A text, a thought, or a call of a function."""

    text: Maybe[str] = UNSET
    thought: Maybe[bool] = UNSET
    function_call: Maybe[dict[str, Any]] = UNSET
    thought_signature: Maybe[str] = UNSET


class CandidateContent(Struct):
    """What a candidate says."""

    role: Literal["model"]
    parts: list[ContentPart]


class ContentCandidate(Struct, kw_only=True, rename="camel"):
    """A candidate, or what is new of it."""

    content: CandidateContent
    index: int
    finish_reason: Maybe[Literal["STOP", "MAX_TOKENS", "SAFETY"]] = UNSET
    logprobs_result: Maybe[dict[str, list[dict[str, Any]]]] = UNSET


class ContentUsage(Struct, kw_only=True, rename="camel"):
    """Tokens of an answer."""

    prompt_token_count: int
    candidates_token_count: int
    total_token_count: int
    thoughts_token_count: Maybe[int] = UNSET
    cached_content_token_count: Maybe[int] = UNSET


class ContentAnswer(Struct, kw_only=True, rename="camel"):
    """An answer, or an event of a stream; the last one has the usage."""

    candidates: list[ContentCandidate]
    model_version: str
    response_id: str
    usage_metadata: Maybe[ContentUsage] = UNSET
