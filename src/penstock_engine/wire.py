"""Requests as clients send them. Unknown fields are let pass; what is known must be right."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from penstock_engine.grammar import Schema, object_schema
from penstock_engine.logprobs import MAX_TOP
from penstock_engine.refusal import BadRequest
from penstock_engine.tools import Tool, tools_of

MAX_CHOICES = 128
"""Answers of one request: prompts times n."""
MAX_STOPS = 16
_MAX_STOP_LENGTH = 1024

Temperature = Annotated[float, Meta(ge=0, le=2)]
TopP = Annotated[float, Meta(gt=0, le=1)]
Positive = Annotated[int, Meta(gt=0)]
NotNegative = Annotated[int, Meta(ge=0)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Repetition = Annotated[float, Meta(gt=0, le=10)]
Top = Annotated[int, Meta(ge=0, le=MAX_TOP)]
Choices = Annotated[int, Meta(ge=1, le=MAX_CHOICES)]
Stops = str | list[str] | None
Tokens = list[NotNegative]


class Part(Struct):
    """One part of a message's content."""

    type: str
    text: str | None = None


class Message(Struct):
    """One turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None


class JsonSchema(Struct):
    """A named schema; `strict` or not, it is followed to the letter."""

    name: str
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class ResponseFormat(Struct):
    """The form that an answer must have."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class Generation(Struct, kw_only=True):
    """What chat and completions have in common."""

    max_tokens: NotNegative | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: Positive | None = None
    n: Choices | None = None
    stop: Stops = None
    stream: bool | None = None
    seed: int | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    repetition_penalty: Repetition | None = None
    logit_bias: dict[str, Annotated[float, Meta(ge=-100, le=100)]] | None = None
    ignore_eos: bool | None = None
    min_tokens: NotNegative | None = None


class ChatRequest(Generation, kw_only=True):
    """`/v1/chat/completions`."""

    messages: Annotated[list[Message], Meta(min_length=1)]
    max_tokens: Positive | None = None
    max_completion_tokens: Positive | None = None
    logprobs: bool | None = None
    top_logprobs: Top | None = None
    tools: list[Tool] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    functions: Any = None
    function_call: Any = None
    response_format: ResponseFormat | None = None
    chat_template_kwargs: dict[str, Any] | None = None


class CompletionRequest(Generation, kw_only=True):
    """`/v1/completions`."""

    prompt: str | list[str | NotNegative | Tokens]
    logprobs: Top | None = None
    echo: bool | None = None
    best_of: int | None = None
    suffix: str | None = None
    response_format: ResponseFormat | None = None
    error_behavior: Literal["truncate", "error"] | None = None


class EmbeddingRequest(Struct, kw_only=True):
    """`/v1/embeddings`."""

    input: str | list[str | NotNegative | Tokens]
    instruction: str | None = None
    dimensions: int | None = None


Request = TypeVar("Request", ChatRequest, CompletionRequest, EmbeddingRequest)
_FIELD = re.compile(r"^(?P<reason>.*?) - at `(?:key in )?\$\.?(?P<field>[^`]*)`$", re.DOTALL)


def chat(body: bytes) -> ChatRequest:
    """Parse and check a chat request. Raises BadRequest, naming the field and its rule."""
    request = _decode(body, ChatRequest)
    _check_choices(request)
    for field in ("functions", "function_call"):
        if getattr(request, field):
            raise BadRequest(f'parameter "{field}" is not supported: use "tools" and "tool_choice"')
    tools = tools_of(request.tools, request.tool_choice, parallel=request.parallel_tool_calls)
    _check_form(request, held=tools is not None or asked_form(request) is not None)
    if request.top_logprobs is not None and not request.logprobs:
        raise BadRequest('parameter "top_logprobs" requires parameter "logprobs" to be true')
    for index, message in enumerate(request.messages):
        _check_message(message, f"messages[{index}]")
    return request


def completions(body: bytes) -> CompletionRequest:
    """Parse and check a completion request. Raises BadRequest, naming the field and its rule."""
    request = _decode(body, CompletionRequest)
    _check_choices(request)
    _check_form(request, held=asked_form(request) is not None)
    if request.suffix and asked_form(request) is not None:
        raise BadRequest('parameter "suffix" must not be given together with "response_format"')
    if request.suffix and request.echo:
        raise BadRequest('parameter "echo" must not be given together with "suffix"')
    if request.best_of is not None and request.best_of != (request.n or 1):
        raise BadRequest('parameter "best_of" is not supported by this engine unless it equals "n"')
    prompts = listed(request.prompt, "prompt")
    if len(prompts) * (request.n or 1) > MAX_CHOICES:
        raise BadRequest(f'parameters "prompt" and "n" ask for more than {MAX_CHOICES} answers')
    if request.stream and len(prompts) > 1:
        raise BadRequest('parameter "prompt" must be a single prompt for streaming mode')
    return request


def embeddings(body: bytes) -> EmbeddingRequest:
    """Parse and check an embedding request. Raises BadRequest, naming the field and its rule."""
    request = _decode(body, EmbeddingRequest)
    if request.dimensions is not None:
        raise BadRequest('parameter "dimensions" is not supported by this model')
    listed(request.input, "input")
    return request


def listed(value: str | list[str | int | list[int]], field: str) -> list[str] | list[list[int]]:
    """The texts, or the token lists, of a field that may hold one or several of either. Raises BadRequest."""
    if isinstance(value, str):
        return [value]
    texts = [item for item in value if isinstance(item, str)]
    numbers = [item for item in value if isinstance(item, int)]
    token_lists = [item for item in value if isinstance(item, list)]
    for found in (texts, token_lists):
        if found and len(found) == len(value):
            return found
    if numbers and len(numbers) == len(value):
        return [numbers]
    raise BadRequest(f'parameter "{field}" must be a text, a list of texts, a list of tokens or a list of such lists')


def stops(request: Generation) -> tuple[str, ...]:
    """The stop strings of a request. Raises BadRequest."""
    found = [request.stop] if isinstance(request.stop, str) else request.stop or []
    if len(found) > MAX_STOPS:
        raise BadRequest(f'parameter "stop" has {len(found)} strings; the limit is {MAX_STOPS}')
    if any(len(stop) > _MAX_STOP_LENGTH for stop in found):
        raise BadRequest(f'parameter "stop": a string is longer than {_MAX_STOP_LENGTH} characters')
    return tuple(stop for stop in found if stop)


def logit_bias(request: Generation, vocab_size: int) -> tuple[tuple[int, float], ...]:
    """Bias by token. Raises BadRequest on what is no token of the model."""
    found = []
    for key, value in (request.logit_bias or {}).items():
        if not key.isdecimal() or int(key) >= vocab_size:
            raise BadRequest(f'parameter "logit_bias": "{key[:40]}" is no token; tokens are 0 to {vocab_size - 1}')
        found.append((int(key), value))
    return tuple(found)


def asked_form(request: ChatRequest | CompletionRequest) -> Schema | None:
    """The schema that an answer must follow, None where it may be any text."""
    form = request.response_format
    if form is None or form.type == "text":
        return None
    if form.json_schema is None or form.json_schema.schema is None:
        return object_schema("response_format")
    return Schema("response_format.json_schema.schema", form.json_schema.schema, strict=True)


def _decode(body: bytes, kind: type[Request]) -> Request:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise BadRequest(_in_words(str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"the request body is not valid JSON: {error}") from None


def _in_words(message: str) -> str:
    """The parser's message, field first; its paths read `$.messages[0].role`, with dots for what has no index."""
    missing = re.match(r"Object missing required field `(\w+)`", message)
    found = _FIELD.match(message)
    where = found["field"] if found else ""
    if missing:
        return f'parameter "{".".join(filter(None, (where, missing[1])))}" is required'
    if found is None or not where:
        return f"the request body: {message}"
    reason = found["reason"].replace("`", "")
    return f'parameter "{where}": {reason[:1].lower()}{reason[1:]}'


def _check_choices(request: Generation) -> None:
    if request.stream and (request.n or 1) > 1:
        raise BadRequest('parameter "n" must be equal to 1 for streaming mode')
    stops(request)


def _check_form(request: ChatRequest | CompletionRequest, *, held: bool) -> None:
    """An answer that is held to a form ends where the form ends."""
    form = request.response_format
    if form is not None and form.type == "json_schema" and form.json_schema is None:
        raise BadRequest('parameter "response_format.json_schema" is required for the type "json_schema"')
    for field in ("ignore_eos", "min_tokens"):
        if held and getattr(request, field):
            raise BadRequest(f'parameter "{field}" must not be given together with "response_format" or "tools"')


def _check_message(message: Message, where: str) -> None:
    if isinstance(message.content, list):
        for part in message.content:
            if part.type != "text" or part.text is None:
                raise BadRequest(f'parameter "{where}.content": only parts of type "text" are supported by this engine')
    elif message.content is None and not (message.role == "assistant" and message.tool_calls):
        raise BadRequest(f'parameter "{where}.content" is required')
