"""Bodies as clients send them: the fields that have rules. The rest is passed on unread.

Lenient: unknown fields pass, also those that only other servers know. Strict: what is not in the platform's own list is
refused with the platform's own words.
"""

import re
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from penstock.domain.errors import InvalidParameter, InvalidRequest, MalformedBody
from penstock.domain.model import Task
from penstock.domain.prompts import count_prompts, is_tokens
from penstock.gateway.call import Asked
from penstock.web.openai import rules
from penstock.web.openai.rules import bad
from penstock.web.openai.strict import STRICT_FIELDS

Positive = Annotated[int, Meta(gt=0)]
NotNegative = Annotated[int, Meta(ge=0)]
Temperature = Annotated[float, Meta(ge=0, le=2)]
TopP = Annotated[float, Meta(gt=0, le=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Bias = Annotated[float, Meta(ge=-100, le=100)]
Top = Annotated[int, Meta(ge=0, le=20)]
Choices = Annotated[int, Meta(ge=1, le=128)]
Role = Literal["system", "developer", "user", "assistant", "tool"]


class Part(Struct):
    """One part of a message's content."""

    type: str
    text: str | None = None


class Message(Struct):
    """One turn of a conversation."""

    role: Role
    content: str | list[Part] | None = None
    tool_calls: list[Raw] | None = None
    tool_call_id: str | None = None
    name: str | None = None


class Function(Struct):
    """What a tool does."""

    name: Annotated[str, Meta(min_length=1)]
    parameters: dict[str, Raw] | None = None
    strict: bool | None = None


class Tool(Struct):
    """A tool that the model may call."""

    type: str
    function: Function | None = None


class JsonSchema(Struct):
    """A named schema."""

    name: str
    schema: dict[str, Any] | None = None


class ResponseFormat(Struct):
    """The form that an answer must have."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(Struct):
    """Usage is in every chunk anyway."""

    include_usage: bool | None = None


class Generation(Struct, kw_only=True):
    """What chat and completions have in common."""

    max_tokens: Positive | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: Positive | None = None
    n: Choices | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    seed: int | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: dict[str, Bias] | None = None
    client_request_id: str | None = None
    usage_context: dict[str, Any] | None = None
    user: str | None = None


class ChatRequest(Generation, kw_only=True):
    """`llm/v1/chat`."""

    messages: Annotated[list[Message], Meta(min_length=1)]
    max_completion_tokens: Positive | None = None
    logprobs: bool | None = None
    top_logprobs: Top | None = None
    tools: Annotated[list[Tool], Meta(max_length=32)] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None


class CompletionRequest(Generation, kw_only=True):
    """`llm/v1/completions`."""

    prompt: str | list[Any]
    max_tokens: NotNegative | None = None
    logprobs: bool | Top | None = None
    echo: bool | None = None
    suffix: str | None = None
    use_raw_prompt: bool | None = None
    error_behavior: Literal["truncate", "error"] | None = None


class EmbeddingRequest(Struct, kw_only=True):
    """`llm/v1/embeddings`."""

    input: str | list[Any]
    instruction: str | None = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Positive | None = None
    client_request_id: str | None = None
    usage_context: dict[str, Any] | None = None
    user: str | None = None


class Named(Struct):
    """What says which endpoint is meant, on the routes that have no name in their path."""

    model: str | None = None


_Kind = TypeVar("_Kind")
_chat = msgspec.json.Decoder(ChatRequest)
_completion = msgspec.json.Decoder(CompletionRequest)
_embedding = msgspec.json.Decoder(EmbeddingRequest)
_named = msgspec.json.Decoder(Named)
_fields = msgspec.json.Decoder(dict[str, Raw])

_PATH = re.compile(r"^(?P<rule>.*?) - at `(?:key` in `)?\$\.?(?P<field>[^`]*)`$", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*?)`")
_MISSING = re.compile(r"Object missing required field `(\w+)`")


def read(task: Task, body: bytes) -> Asked:
    """Checks a body for its task; raises InvalidRequest that names the field and its rule."""
    if task is Task.CHAT:
        return _read_chat(decode_body(_chat, body))
    if task is Task.COMPLETIONS:
        return _read_completion(decode_body(_completion, body))
    return _read_embedding(decode_body(_embedding, body))


def read_strictly(task: Task, body: bytes) -> Asked:
    """Like `read`, and refuses fields that the platform does not know."""
    for field in decode_body(_fields, body):
        if field not in STRICT_FIELDS[task]:
            raise InvalidRequest(f'Bad request: json: unknown field "{field[:80]}"')
    if task is Task.CHAT:
        tools = decode_body(_chat, body).tools or ()
        rules.check_parameters([tool.function is None or tool.function.parameters is not None for tool in tools])
    return read(task, body)


def endpoint_named(body: bytes) -> str:
    """The endpoint that a body names; raises InvalidRequest if it names none."""
    name = decode_body(_named, body).model
    if not name:
        raise bad("model", "is required: the name of a serving endpoint")
    return name


def _read_chat(request: ChatRequest) -> Asked:
    _check_generation(request)
    for index, message in enumerate(request.messages):
        if message.content is None and not message.tool_calls and message.role != "assistant":
            raise bad(f"messages[{index}].content", "is required")
        if message.role == "tool" and not message.tool_call_id:
            raise bad(f"messages[{index}].tool_call_id", 'is required for role "tool"')
    if request.top_logprobs is not None and not request.logprobs:
        raise bad("top_logprobs", 'requires parameter "logprobs" to be true')
    if request.tools is not None or request.tool_choice is not None:
        tools = [(tool.type, tool.function.name if tool.function else None) for tool in request.tools or ()]
        rules.check_tools(tools)
        rules.check_tool_choice(request.tool_choice, {name for _, name in tools})
    if request.response_format is not None:
        _check_format(request.response_format, request.messages)
    most = request.max_tokens if request.max_completion_tokens is None else request.max_completion_tokens
    size = sum(len(text) for message in request.messages for text in _texts(message))
    return _asked(request, size, most)


def _read_completion(request: CompletionRequest) -> Asked:
    _check_generation(request)
    rules.check_texts("prompt", request.prompt)
    size, counted = _length(request.prompt)
    return _asked(request, size, request.max_tokens, counted=counted, prompts=count_prompts(request.prompt))


def _read_embedding(request: EmbeddingRequest) -> Asked:
    rules.check_texts("input", request.input)
    size, counted = _length(request.input)
    prompts = count_prompts(request.input)
    return Asked(
        streaming=False,
        client_request_id=request.client_request_id or "",
        size=size,
        counted=counted,
        prompts=prompts,
    )


def _asked(request: Generation, size: int, most_out: int | None, *, counted: bool = False, prompts: int = 1) -> Asked:
    return Asked(
        streaming=bool(request.stream),
        client_request_id=request.client_request_id or "",
        size=size,
        counted=counted,
        most_out=most_out,
        choices=(request.n or 1) * prompts,
        prompts=prompts,
        usage_wanted=bool(request.stream_options and request.stream_options.include_usage),
    )


def _length(value: str | list[Any]) -> tuple[int, bool]:
    """The length of texts in characters, or of lists of tokens in tokens; and which of the two it is."""
    if isinstance(value, str):
        return len(value), False
    if is_tokens(value):
        return len(value), True
    return sum(len(one) for one in value), isinstance(value[0], list)


def _check_generation(request: Generation) -> None:
    if request.stream and (request.n or 1) > 1:
        raise bad("n", "must be equal to 1 for streaming mode")


def _check_format(form: ResponseFormat, messages: list[Message]) -> None:
    if form.type == "json_schema" and form.json_schema is None:
        raise bad("response_format.json_schema", 'is required for the type "json_schema"')
    if form.type == "json_object":
        rules.check_json_word("messages", "\n".join(text for message in messages for text in _texts(message)))


def _texts(message: Message) -> list[str]:
    if isinstance(message.content, list):
        return [part.text or "" for part in message.content]
    return [message.content or ""]


def decode_body(decoder: "msgspec.json.Decoder[_Kind]", body: bytes) -> _Kind:
    """What a body says; raises InvalidRequest that names the field and its rule."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _in_words(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedBody(f"The request body is not valid JSON: {error}") from None


def _in_words(problem: str) -> InvalidRequest:
    """The parser's words, field first. Its paths look like `$.messages[0].role`."""
    found = _PATH.match(problem)
    where = found["field"] if found else ""
    missing = _MISSING.match(problem)
    if missing:
        field = ".".join(filter(None, (where, missing[1])))
        if field == "input":
            return InvalidParameter("Missing required embeddings parameter: 'input'")
        return bad(field, "is required")
    unknown = _UNKNOWN.match(problem)
    if unknown:
        return bad(".".join(filter(None, (where, unknown[1][:80]))), "is not supported")
    if found is None or not where:
        return MalformedBody(f"The request body must be a JSON object: {problem}")
    rule = found["rule"].replace("`", "")
    return bad(where, f"is wrong: {rule[:1].lower()}{rule[1:]}")
