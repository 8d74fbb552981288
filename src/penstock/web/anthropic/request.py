"""A request for a message, and the chat body that asks the same."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from penstock.web.anthropic.tools import Tool, ToolChoice, chat_choice, chat_tools
from penstock.web.anthropic.turns import Block, Turn, messages_of, texts_of
from penstock.web.openai.requests import decode_body
from penstock.web.openai.rules import bad

Positive = Annotated[int, Meta(gt=0)]
NotNegative = Annotated[int, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]


class Metadata(Struct):
    """Who the request is for."""

    user_id: str | None = None


class Format(Struct, forbid_unknown_fields=True):
    """The form that a text must have."""

    type: Literal["json_schema"]
    schema: dict[str, Any]


class OutputConfig(Struct, forbid_unknown_fields=True):
    """How the answer is to be. Efforts are as providers know them."""

    format: Format | None = None
    effort: str | None = None


class Thinking(Struct):
    """Models here do not show how they think."""

    type: str


class MessagesRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/messages`. Prompts are cached by themselves, so marks for a cache change nothing."""

    model: str
    messages: Annotated[list[Turn], Meta(min_length=1)]
    max_tokens: Positive
    system: str | list[Block] | None = None
    stop_sequences: list[str] | None = None
    temperature: Share | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    top_k: NotNegative | None = None
    stream: bool | None = None
    metadata: Metadata | None = None
    tools: Annotated[list[Tool], Meta(max_length=32)] | None = None
    tool_choice: ToolChoice | None = None
    output_config: OutputConfig | None = None
    thinking: Thinking | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    speed: Literal["standard"] | None = None
    cache_control: Any = None
    client_request_id: str | None = None
    usage_context: dict[str, Any] | None = None


_decoder = msgspec.json.Decoder(MessagesRequest)


def read(body: bytes) -> MessagesRequest:
    """Raises InvalidRequest that names the field and its rule."""
    request = decode_body(_decoder, body)
    if request.thinking is not None and request.thinking.type != "disabled":
        raise bad("thinking.type", 'must be "disabled": how a model thinks is not shown here')
    return request


def chat_body(request: MessagesRequest) -> bytes:
    """The chat body; raises InvalidRequest that names the field and its rule."""
    messages = messages_of(request.messages)
    if request.system:
        messages.insert(0, {"role": "system", "content": texts_of("system", request.system)})
    tools, choice = chat_tools(request.tools), request.tool_choice
    body = {
        "model": request.model,
        "messages": messages,
        "max_tokens": request.max_tokens,
        "stop": request.stop_sequences or None,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": request.top_k or None,
        "user": request.metadata.user_id if request.metadata else None,
        "tools": tools or None,
        "tool_choice": chat_choice(choice, {tool["function"]["name"] for tool in tools}),
        "parallel_tool_calls": False if tools and choice is not None and choice.disable_parallel_tool_use else None,
        "client_request_id": request.client_request_id,
        "usage_context": request.usage_context,
    }
    output = request.output_config or OutputConfig()
    body["reasoning_effort"] = output.effort
    if output.format is not None:
        schema = {"name": "output", "schema": output.format.schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if request.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return msgspec.json.encode({name: value for name, value in body.items() if value is not None})
