"""A chat request of OpenAI's shape, read so that it can be said in other words."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from penstock.adapters.providers.asking import OURS
from penstock.domain.errors import InvalidRequest

FOREIGN: Mapping[str, object] = {
    "n": 1,
    "seed": None,
    "logprobs": False,
    "top_logprobs": 0,
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "logit_bias": {},
    "store": False,
    "modalities": ["text"],
    "audio": None,
    "prediction": None,
    "functions": None,
    "function_call": None,
    "verbosity": None,
    "web_search_options": None,
}
"""Fields of OpenAI's that others do not have, each with the value that asks for nothing."""
_DROPPED = frozenset({*OURS, "model", "stream", "stream_options"})


class Function(Struct):
    """A call of a function: its arguments are a JSON object as text."""

    name: str
    arguments: str = ""


class ToolCall(Struct):
    """A call that the model made; `extra_content` is what its provider wants to see again."""

    id: str
    function: Function
    extra_content: Any = None


class Message(Struct):
    """A message; content is a text or parts."""

    role: str
    content: str | list[dict[str, Any]] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str = ""


class ToolFunction(Struct):
    """A function that the model may call."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Struct):
    """A tool; there are only functions."""

    function: ToolFunction


class Chat(Struct):
    """The request; `extra` has the fields that are not named here, without null."""

    messages: list[Message]
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: str | list[str] | None = None
    tools: list[Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    user: str | None = None
    extra: dict[str, Any] = {}

    @property
    def limit(self) -> int | None:
        """The most tokens of the answer, by either name; by the newer one where both are given."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def stops(self) -> list[str]:
        """The texts that end the answer."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def system(self) -> list[Message]:
        """Instructions, wherever they stand."""
        return [one for one in self.messages if one.role in {"system", "developer"}]

    @property
    def talk(self) -> list[tuple[int, Message]]:
        """The other messages, with their places."""
        return [(place, one) for place, one in enumerate(self.messages) if one.role not in {"system", "developer"}]

    def schema(self, who: str) -> dict[str, Any] | None:
        """The `json_schema` object that the answer must follow; None where it is free. JSON without one is refused."""
        form = self.response_format
        kind = form.get("type") if form is not None else "text"
        if form is None or kind == "text":
            return None
        found = form.get("json_schema")
        if kind == "json_schema" and isinstance(found, dict) and isinstance(found.get("schema"), dict):
            return found
        if kind == "json_schema":
            raise InvalidRequest("response_format.json_schema must be an object with a schema.")
        raise InvalidRequest(f"response_format.type must be text or json_schema for {_inside(who)}, but is {kind!r}.")

    def chosen_tool(self) -> tuple[str, str]:
        """How tools are chosen: auto, none, required or function, and the function's name. Without a wish, empty."""
        choice = self.tool_choice
        if choice is None:
            return "", ""
        if isinstance(choice, dict) and isinstance(choice.get("function"), dict):
            return "function", str(choice["function"].get("name", ""))
        if choice in {"auto", "none", "required"}:
            return str(choice), ""
        raise InvalidRequest("tool_choice must be auto, none, required, or an object that names a function.")

    def refuse_foreign(self, who: str, takes: frozenset[str] = frozenset()) -> None:
        """Takes what only OpenAI has out of `extra`, but for what is taken; raises InvalidRequest if it asks for it."""
        for name, nothing in FOREIGN.items():
            if name in takes or name not in self.extra:
                continue
            if self.extra.pop(name) != nothing:
                raise InvalidRequest(f"{name} cannot be set: {_inside(who)} has nothing like it.")


def read_chat(body: bytes, most: int | None = None) -> Chat:
    """The request in a body, with `most` tokens of an answer where that is given.

    Raises InvalidRequest naming the field that has another shape.
    """
    fields = read_object(body)
    named = {name: value for name, value in fields.items() if name in Chat.__struct_fields__ and name != "extra"}
    try:
        chat = msgspec.convert(named, Chat)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"The request cannot be translated for its provider: {error}.") from None
    chat.extra = {
        name: value
        for name, value in fields.items()
        if name not in named and name not in _DROPPED and value is not None
    }
    if most is not None:
        chat.max_completion_tokens = most
    return chat


def read_object(body: bytes) -> dict[str, Any]:
    """A body's fields; raises InvalidRequest if it is no JSON object."""
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidRequest("The request is not a JSON object.") from None


def text_of(message: Message) -> str:
    """A message's text; raises InvalidRequest if it has parts that are none."""
    if not isinstance(message.content, list):
        return message.content or ""
    if any(part.get("type") != "text" for part in message.content):
        raise InvalidRequest(f"A message of role {message.role} must have text only.")
    return "\n".join(str(part.get("text", "")) for part in message.content)


def parts_of(
    message: Message, place: int, part: Callable[[dict[str, Any], int], list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """What a message holds, each `part` in a provider's words; content that is only a text is one part, or none."""
    content = message.content
    if not isinstance(content, list):
        content = [{"type": "text", "text": content}] if content else []
    return [found for one in content for found in part(one, place)]


def add_turn(turns: list[dict[str, Any]], role: str, inside: str, pieces: list[dict[str, Any]]) -> None:
    """Adds what a role says, as `inside` of a turn. Roles must alternate elsewhere: turns of one role become one."""
    if turns and turns[-1]["role"] == role:
        turns[-1][inside] += pieces
    elif pieces:
        turns.append({"role": role, inside: pieces})


def arguments_of(call: ToolCall) -> dict[str, Any]:
    """A call's arguments. Raises InvalidRequest."""
    try:
        return msgspec.json.decode(call.function.arguments.strip() or "{}", type=dict[str, Any])
    except msgspec.DecodeError:
        raise InvalidRequest(f"The arguments of tool call {call.id[:80]!r} are not a JSON object.") from None


def image_url(part: Mapping[str, Any], place: int) -> str:
    """The address of an image part, which may be a data URL. Raises InvalidRequest."""
    found = part.get("image_url")
    url = found.get("url") if isinstance(found, dict) else found
    if not isinstance(url, str) or not url:
        raise InvalidRequest(f"messages[{place}] has an image without image_url.url.")
    return url


def inline_image(url: str) -> tuple[str, str] | None:
    """The media type and the base64 of a data URL; None of another URL."""
    head, comma, data = url.partition(",")
    if not head.startswith("data:") or not comma or not head.endswith(";base64"):
        return None
    return head[len("data:") : -len(";base64")].partition(";")[0], data


def _inside(who: str) -> str:
    return who[:1].lower() + who[1:]
