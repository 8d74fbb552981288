"""A request for content, and the chat body that asks the same."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from penstock.web.gemini.contents import Content, messages_of, text_of
from penstock.web.gemini.schemas import in_camel_case, json_schema
from penstock.web.gemini.tools import Tool, ToolConfig, chat_tools
from penstock.web.openai.requests import Choices, Penalty, Positive, Temperature, Top, TopP, decode_body
from penstock.web.openai.rules import bad

_JSON = "application/json"
_CONFIG = "generationConfig"


class ThinkingConfig(Struct, rename="camel", forbid_unknown_fields=True):
    """How hard a model thinks, and whether it shows how."""

    include_thoughts: bool | None = None
    thinking_level: Literal["MINIMAL", "LOW", "MEDIUM", "HIGH", "minimal", "low", "medium", "high"] | None = None


class GenerationConfig(Struct, rename="camel", forbid_unknown_fields=True):
    """How the answer is to be."""

    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: Positive | None = None
    candidate_count: Choices | None = None
    max_output_tokens: Positive | None = None
    stop_sequences: list[str] | None = None
    seed: int | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    response_mime_type: Literal["text/plain", "application/json"] | None = None
    response_schema: dict[str, Any] | None = None
    response_json_schema: dict[str, Any] | None = None
    response_logprobs: bool | None = None
    logprobs: Top | None = None
    response_modalities: list[Literal["TEXT"]] | None = None
    thinking_config: ThinkingConfig | None = None


class SafetySetting(Struct, forbid_unknown_fields=True):
    """Nothing is filtered here beside what a model refuses by itself."""

    category: str
    threshold: Literal["BLOCK_NONE", "OFF"]


class GenerateContentRequest(Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """`POST models/{model}:generateContent`. Prompts are cached by themselves."""

    contents: Annotated[list[Content], Meta(min_length=1)]
    system_instruction: Content | None = None
    generation_config: GenerationConfig | None = None
    tools: list[Tool] | None = None
    tool_config: ToolConfig | None = None
    safety_settings: list[SafetySetting] | None = None
    client_request_id: str | None = None
    usage_context: dict[str, Any] | None = None

    @property
    def shows_thoughts(self) -> bool:
        """Whether what the model thinks is to be told."""
        thinking = self.generation_config.thinking_config if self.generation_config else None
        return bool(thinking and thinking.include_thoughts)


_decoder = msgspec.json.Decoder(GenerateContentRequest)


def read(body: bytes) -> GenerateContentRequest:
    """Raises InvalidRequest that names the field and its rule."""
    return decode_body(_decoder, in_camel_case(body))


def chat_body(model: str, request: GenerateContentRequest, *, streams: bool) -> bytes:
    """The chat body; raises InvalidRequest that names the field and its rule."""
    messages = messages_of(request.contents)
    if request.system_instruction is not None:
        told = text_of("systemInstruction", request.system_instruction)
        messages.insert(0, {"role": "system", "content": told})
    tools, choice = chat_tools(request.tools, request.tool_config)
    config = request.generation_config or GenerationConfig()
    if streams and (config.candidate_count or 1) > 1:
        raise bad(f"{_CONFIG}.candidateCount", "must be 1 for a stream")
    body = {
        "model": model,
        "messages": messages,
        **_sampling(config),
        "tools": tools or None,
        "tool_choice": choice,
        "response_format": _format(config),
        "client_request_id": request.client_request_id,
        "usage_context": request.usage_context,
    }
    if streams:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return msgspec.json.encode({name: value for name, value in body.items() if value is not None})


def _sampling(config: GenerationConfig) -> dict[str, Any]:
    if config.logprobs is not None and not config.response_logprobs:
        raise bad(f"{_CONFIG}.logprobs", f'requires parameter "{_CONFIG}.responseLogprobs" to be true')
    level = config.thinking_config.thinking_level if config.thinking_config else None
    return {
        "max_tokens": config.max_output_tokens,
        "temperature": config.temperature,
        "top_p": config.top_p,
        "top_k": config.top_k,
        "n": config.candidate_count,
        "stop": config.stop_sequences or None,
        "seed": config.seed,
        "presence_penalty": config.presence_penalty,
        "frequency_penalty": config.frequency_penalty,
        "logprobs": config.response_logprobs or None,
        "top_logprobs": config.logprobs,
        "reasoning_effort": level.lower() if level else None,
    }


def _format(config: GenerationConfig) -> dict[str, Any] | None:
    """The form of the answer. A schema says nothing of texts that are not JSON."""
    given = {"responseSchema": config.response_schema, "responseJsonSchema": config.response_json_schema}
    named = [name for name, schema in given.items() if schema is not None]
    if len(named) > 1:
        raise bad(f"{_CONFIG}.{named[1]}", f'cannot be together with "{_CONFIG}.{named[0]}"')
    if config.response_mime_type != _JSON:
        if named:
            raise bad(f"{_CONFIG}.{named[0]}", f'requires parameter "{_CONFIG}.responseMimeType" to be "{_JSON}"')
        return None
    schema = config.response_json_schema
    if config.response_schema is not None:
        schema = json_schema(config.response_schema)
    if schema is None:
        return {"type": "json_object"}
    return {"type": "json_schema", "json_schema": {"name": "output", "schema": schema, "strict": True}}
