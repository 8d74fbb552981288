"""A request for a response, and the chat body that asks the same.

Nothing is stored here: what needs an earlier response, or a later look at this one, is refused by name.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from penstock.web.openai import rules
from penstock.web.openai.requests import decode_body
from penstock.web.openai.rules import bad
from penstock.web.responses.items import Item, messages_of
from penstock.web.responses.tools import Tool, chat_choice, chat_tools

MAX_METADATA = 16

Positive = Annotated[int, Meta(gt=0)]
Key = Annotated[str, Meta(max_length=64)]
Value = Annotated[str, Meta(max_length=512)]


class Format(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The form that a text must have."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    schema: dict[str, Any] | None = None
    description: str | None = None
    strict: bool | None = None


class Text(Struct, forbid_unknown_fields=True):
    """How the text is to be."""

    format: Format | None = None
    verbosity: Literal["medium"] | None = None


class Reasoning(Struct, forbid_unknown_fields=True):
    """How hard a reasoning model thinks."""

    effort: str | None = None


class StreamOptions(Struct, forbid_unknown_fields=True):
    """Nothing is padded here."""

    include_obfuscation: bool | None = None


class ResponsesRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """`POST /responses`. What follows `service_tier` is not served, and is taken where it asks for nothing."""

    model: str
    input: str | list[Item] | None = None
    instructions: str | None = None
    max_output_tokens: Positive | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    include: list[Literal["message.output_text.logprobs"]] | None = None
    tools: Annotated[list[Tool], Meta(max_length=32)] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    text: Text | None = None
    reasoning: Reasoning | None = None
    metadata: Annotated[dict[Key, Value], Meta(max_length=MAX_METADATA)] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    client_request_id: str | None = None
    usage_context: dict[str, Any] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    truncation: Literal["disabled"] | None = None
    service_tier: Literal["auto", "default"] | None = None
    background: Any = None
    store: Any = None
    previous_response_id: Any = None
    conversation: Any = None
    prompt: Any = None
    context_management: Any = None
    max_tool_calls: Any = None
    moderation: Any = None
    prompt_cache_options: Any = None
    prompt_cache_retention: Any = None

    @property
    def wants_logprobs(self) -> bool:
        """Whether log probabilities are to be told."""
        return bool(self.include) or self.top_logprobs is not None


_UNSERVED = (
    ("background", "this server answers while the client waits"),
    ("store", "this server keeps no responses; send false, or leave it out"),
    ("previous_response_id", "this server keeps no responses; send the conversation as input"),
    ("conversation", "this server keeps no conversations; send the conversation as input"),
    ("prompt", "this server keeps no prompts"),
    ("context_management", "this server takes the input as it is"),
    ("max_tool_calls", "this server runs no tools of its own"),
    ("moderation", "this server does not moderate"),
    ("prompt_cache_options", "prompts are cached by themselves"),
    ("prompt_cache_retention", "prompts are cached by themselves"),
)
_decoder = msgspec.json.Decoder(ResponsesRequest)


def read(body: bytes) -> ResponsesRequest:
    """Raises InvalidRequest that names the field and its rule."""
    request = decode_body(_decoder, body)
    for name, why in _UNSERVED:
        if getattr(request, name) not in (None, False):
            raise bad(name, f"is not supported: {why}")
    if request.stream_options is not None and request.stream_options.include_obfuscation:
        raise bad("stream_options.include_obfuscation", "is not supported: send false, or leave it out")
    if not request.input:
        raise bad("input", "is required, and must not be empty")
    return request


def chat_body(request: ResponsesRequest) -> bytes:
    """The chat body; raises InvalidRequest that names the field and its rule."""
    messages = messages_of(request.input or [])
    if request.instructions:
        messages.insert(0, {"role": "system", "content": request.instructions})
    tools = chat_tools(request.tools)
    body = {
        "model": request.model,
        "messages": messages,
        "max_tokens": request.max_output_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "tools": tools or None,
        "tool_choice": chat_choice(request.tool_choice, {tool["function"]["name"] for tool in tools}),
        "parallel_tool_calls": request.parallel_tool_calls if tools else None,
        "response_format": _format(request),
        "reasoning_effort": request.reasoning.effort if request.reasoning else None,
        "user": request.user,
        "safety_identifier": request.safety_identifier,
        "prompt_cache_key": request.prompt_cache_key,
        "client_request_id": request.client_request_id,
        "usage_context": request.usage_context,
    }
    if request.wants_logprobs:
        body |= {"logprobs": True, "top_logprobs": request.top_logprobs}
    if request.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return msgspec.json.encode({name: value for name, value in body.items() if value is not None})


def _format(request: ResponsesRequest) -> dict[str, Any] | None:
    form = request.text.format if request.text else None
    if form is None or form.type == "text":
        return None
    if form.type == "json_object":
        rules.check_json_word("input", msgspec.json.encode([request.input, request.instructions]).decode())
        return {"type": form.type}
    if not form.name or form.schema is None:
        raise bad("text.format", 'needs "name" and "schema" for the type "json_schema"')
    schema = {"name": form.name, "schema": form.schema, "strict": form.strict, "description": form.description}
    return {"type": form.type, "json_schema": {name: one for name, one in schema.items() if one is not None}}
