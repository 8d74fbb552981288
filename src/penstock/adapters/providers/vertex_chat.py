"""Chat in the words of Gemini on Vertex AI: generateContent. Pure."""

import mimetypes
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from penstock.adapters.providers.chat_answer import (
    ChatWriter,
    Heading,
    Spoken,
    reasoning,
    tool_call,
    usage_of,
    whole_chat,
)
from penstock.adapters.providers.chat_request import (
    Chat,
    Message,
    Tool,
    ToolCall,
    add_turn,
    arguments_of,
    image_url,
    inline_image,
    parts_of,
    text_of,
)
from penstock.domain.errors import InvalidRequest, ProviderFailed

_REASONS = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    **dict.fromkeys(
        (
            "SAFETY",
            "RECITATION",
            "BLOCKLIST",
            "PROHIBITED_CONTENT",
            "SPII",
            "MODEL_ARMOR",
            "IMAGE_SAFETY",
            "IMAGE_PROHIBITED_CONTENT",
            "IMAGE_RECITATION",
        ),
        "content_filter",
    ),
}
_TAKES = frozenset({"n", "seed", "frequency_penalty", "presence_penalty"})
_EFFORTS = ("minimal", "low", "medium", "high", "xhigh")
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY", "function": "ANY"}
_Shape = dict[str, Any]


def request_of(chat: Chat, who: str) -> _Shape:
    """The body to send. Raises InvalidRequest for what cannot be said there."""
    chat.refuse_foreign(who, _TAKES)
    if chat.parallel_tool_calls is False and chat.tools:
        raise InvalidRequest("parallel_tool_calls cannot be false: Gemini has nothing like it.")
    given = chat.extra.pop("generationConfig", None)
    config: _Shape = (dict(given) if isinstance(given, dict) else {}) | _config(chat, who)
    body: _Shape = {"contents": _contents(chat)}
    system = [{"text": text} for message in chat.system if (text := text_of(message))]
    if system:
        body["systemInstruction"] = {"parts": system}
    if config:
        body["generationConfig"] = config
    if chat.tools:
        body["tools"] = [{"functionDeclarations": [_tool(tool) for tool in chat.tools]}]
        kind, name = chat.chosen_tool()
        if kind:
            named = {"allowedFunctionNames": [name]} if kind == "function" else {}
            body["toolConfig"] = {"functionCallingConfig": {"mode": _MODES[kind], **named}}
    if chat.user is not None:
        raise InvalidRequest("user cannot be set: Gemini has nothing like it.")
    return {**chat.extra, **body}


def _config(chat: Chat, who: str) -> _Shape:
    told = {
        "maxOutputTokens": chat.limit,
        "temperature": chat.temperature,
        "topP": chat.top_p,
        "topK": chat.top_k,
        "stopSequences": chat.stops or None,
        "candidateCount": chat.extra.pop("n", None),
        "seed": chat.extra.pop("seed", None),
        "frequencyPenalty": chat.extra.pop("frequency_penalty", None),
        "presencePenalty": chat.extra.pop("presence_penalty", None),
    }
    found: _Shape = {name: value for name, value in told.items() if value is not None}
    if chat.response_format is not None and chat.response_format.get("type") == "json_object":
        found["responseMimeType"] = "application/json"
    else:
        schema = chat.schema(who)
        if schema is not None:
            found |= {"responseMimeType": "application/json", "responseJsonSchema": schema["schema"]}
    if chat.reasoning_effort is not None:
        if chat.reasoning_effort not in _EFFORTS:
            raise InvalidRequest(f"reasoning_effort must be one of {', '.join(_EFFORTS)} for this model.")
        found["thinkingConfig"] = {"thinkingLevel": chat.reasoning_effort.upper()}
    return found


def _contents(chat: Chat) -> list[_Shape]:
    """Messages of one role after another become one; results of calls are named by the function that was called."""
    found: list[_Shape] = []
    names: dict[str, str] = {}
    for place, message in chat.talk:
        role = "model" if message.role == "assistant" else "user"
        parts = [_result(message, names, place)] if message.role == "tool" else parts_of(message, place, _part)
        for one in message.tool_calls or ():
            names[one.id] = one.function.name
            parts.append(_call(one))
        add_turn(found, role, "parts", parts)
    return found


def _part(part: _Shape, place: int) -> list[_Shape]:
    kind = part.get("type")
    if kind == "text":
        return [{"text": part.get("text", "")}]
    if kind == "image_url":
        return [_image(image_url(part, place), place)]
    if kind == "reasoning":
        # Gemini does not take its thoughts back, only their signatures with the calls.
        return []
    raise InvalidRequest(f"messages[{place}] has a part of type {str(kind)[:80]!r}: text and image_url are translated.")


def _image(url: str, place: int) -> _Shape:
    inline = inline_image(url)
    if inline is not None:
        return {"inlineData": {"mimeType": inline[0], "data": inline[1]}}
    kind = mimetypes.guess_type(urlsplit(url).path)[0]
    if kind is None:
        raise InvalidRequest(f"messages[{place}] has an image whose address does not end as an image's, such as .png.")
    return {"fileData": {"mimeType": kind, "fileUri": url}}


def _call(one: ToolCall) -> _Shape:
    part: _Shape = {"functionCall": {"name": one.function.name, "args": arguments_of(one)}}
    google = one.extra_content.get("google") if isinstance(one.extra_content, dict) else None
    signature = google.get("thought_signature") if isinstance(google, dict) else None
    return part | ({"thoughtSignature": signature} if signature else {})


def _result(message: Message, names: dict[str, str], place: int) -> _Shape:
    """An answer is an object there: a text that is one passes as it is, another one as its `result`."""
    name = names.get(message.tool_call_id)
    if name is None:
        raise InvalidRequest(f"messages[{place}].tool_call_id must be of a call in an earlier message.")
    text = text_of(message)
    try:
        response = msgspec.json.decode(text, type=_Shape)
    except msgspec.DecodeError:
        response = {"result": text}
    return {"functionResponse": {"name": name, "response": response}}


def _tool(tool: Tool) -> _Shape:
    function = tool.function
    found: _Shape = {"name": function.name}
    if function.description is not None:
        found["description"] = function.description
    if function.parameters is not None:
        found["parametersJsonSchema"] = function.parameters
    return found


class _Usage(Struct, rename="camel"):
    prompt_token_count: int = 0
    candidates_token_count: int = 0
    thoughts_token_count: int | None = None
    tool_use_prompt_token_count: int = 0
    cached_content_token_count: int | None = None

    def told(self) -> _Shape:
        """OpenAI's: thoughts count as completion."""
        thoughts = self.thoughts_token_count
        found = usage_of(
            self.prompt_token_count + self.tool_use_prompt_token_count,
            self.candidates_token_count + (thoughts or 0),
            self.cached_content_token_count,
        )
        return found | ({"completion_tokens_details": {"reasoning_tokens": thoughts}} if thoughts is not None else {})


class _Called(Struct):
    name: str
    args: _Shape = {}
    id: str = ""


class _Part(Struct, rename="camel"):
    text: str = ""
    thought: bool = False
    thought_signature: str = ""
    function_call: _Called | None = None


class _Content(Struct):
    parts: list[_Part] = []


class _Candidate(Struct, rename="camel"):
    content: _Content | None = None
    finish_reason: str | None = None


class _Feedback(Struct, rename="camel"):
    block_reason: str = ""


class _Error(Struct):
    message: str = ""
    status: str = ""


class _Answer(Struct, rename="camel"):
    candidates: list[_Candidate] = []
    usage_metadata: _Usage | None = None
    prompt_feedback: _Feedback | None = None
    response_id: str = ""
    model_version: str = ""
    error: _Error | None = None


_decoder = msgspec.json.Decoder(_Answer)


def _heading(answer: _Answer, heading: Heading) -> Heading:
    return Heading(answer.response_id or heading.id, heading.created, answer.model_version or heading.model)


def _said_call(part: _Part, heading: Heading, place: int) -> _Shape:
    called = part.function_call
    assert called is not None
    arguments = msgspec.json.encode(called.args).decode()
    found = tool_call(called.id or f"call_{heading.id}_{place}", called.name, arguments)
    if part.thought_signature:
        found["extra_content"] = {"google": {"thought_signature": part.thought_signature}}
    return found


def answer_of(body: bytes, heading: Heading) -> bytes:
    """A whole answer, translated. Raises msgspec.DecodeError if it has another shape."""
    answer = _decoder.decode(body)
    if not answer.candidates and answer.prompt_feedback is None:
        raise msgspec.DecodeError("There is no candidate.")
    heading = _heading(answer, heading)
    spoken = [_spoken(candidate, heading) for candidate in answer.candidates] or [(Spoken(), "content_filter")]
    return whole_chat(heading, spoken, answer.usage_metadata.told() if answer.usage_metadata is not None else None)


def _spoken(candidate: _Candidate, heading: Heading) -> tuple[Spoken, str]:
    spoken = Spoken()
    for part in candidate.content.parts if candidate.content is not None else ():
        if part.function_call is not None:
            spoken.calls.append(_said_call(part, heading, len(spoken.calls)))
        elif part.thought:
            spoken.thoughts.append(reasoning(part.text))
        else:
            spoken.texts.append(part.text)
    return spoken, _reason(candidate.finish_reason, called=bool(spoken.calls))


def _reason(said: str | None, *, called: bool) -> str:
    reason = _REASONS.get(said or "", "stop")
    return "tool_calls" if called and reason == "stop" else reason


class ChatEvents:
    """See `penstock.adapters.providers.translated.EventTranslator`. Nothing but its end says that a stream is over."""

    __slots__ = ("_heading", "_reason", "_usage", "_who", "_writer", "done")

    def __init__(self, who: str, heading: Heading) -> None:
        self._who = who
        self._heading = heading
        self._writer = ChatWriter(heading)
        self._reason: str | None = None
        self._usage: _Usage | None = None
        self.done = False

    def event(self, data: bytes) -> bytes:
        """A piece of the answer, with the usage so far."""
        answer = _decoder.decode(data)
        if answer.error is not None:
            error = answer.error
            raise ProviderFailed(f"{self._who} failed in the middle of its answer: {error.status}: {error.message}")
        self._writer.heading = _heading(answer, self._heading)
        self._usage = answer.usage_metadata or self._usage
        if answer.prompt_feedback is not None and answer.prompt_feedback.block_reason:
            self._reason = "SAFETY"
        found = []
        for candidate in answer.candidates[:1]:
            self._reason = candidate.finish_reason or self._reason
            found += [self._part(part) for part in (candidate.content.parts if candidate.content is not None else ())]
        return b"".join(found)

    def end(self) -> bytes:
        """It is complete if it was said why it ended."""
        if self._reason is None:
            return b""
        self.done = True
        reason = _reason(self._reason, called=self._writer.calls > 0)
        return self._writer.end(reason, self._usage.told() if self._usage is not None else None)

    def _part(self, part: _Part) -> bytes:
        if part.function_call is not None:
            return self._writer.whole_call(_said_call(part, self._writer.heading, self._writer.calls))
        return self._writer.thought(part.text) if part.thought else self._writer.text(part.text)
