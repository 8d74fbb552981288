"""Turns of a conversation, part by part, as messages of a chat."""

from typing import Any, Literal

import msgspec
from msgspec import Struct

from penstock.web.openai.rules import bad

_IMAGE = "image/"


class Blob(Struct, rename="camel", forbid_unknown_fields=True):
    """Bytes in base64."""

    mime_type: str
    data: str
    display_name: str | None = None


class FileData(Struct, rename="camel", forbid_unknown_fields=True):
    """A file elsewhere."""

    file_uri: str
    mime_type: str
    display_name: str | None = None


class FunctionCall(Struct, forbid_unknown_fields=True):
    """A call that the model has made."""

    name: str
    args: dict[str, Any] | None = None
    id: str | None = None


class FunctionResponse(Struct, forbid_unknown_fields=True):
    """What a function has given."""

    name: str
    response: dict[str, Any]
    id: str | None = None


class Part(Struct, rename="camel", forbid_unknown_fields=True):
    """One part of a turn: one of its first five fields."""

    text: str | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None
    thought: bool | None = None
    thought_signature: str | None = None


class Content(Struct, forbid_unknown_fields=True):
    """One turn."""

    parts: list[Part]
    role: Literal["user", "model"] | None = None


def messages_of(contents: list[Content]) -> list[dict[str, Any]]:
    """The messages; raises InvalidRequest that names the part's field and its rule."""
    messages: list[dict[str, Any]] = []
    calls = _Calls()
    for index, content in enumerate(contents):
        where = f"contents[{index}].parts"
        _check(where, content.parts)
        messages += _model(where, content, calls) if content.role == "model" else _user(where, content, calls)
    return messages


def text_of(where: str, content: Content) -> str:
    """Content that is texts only; raises InvalidRequest."""
    texts = []
    for place, part in enumerate(content.parts):
        if part.text is None:
            raise bad(f"{where}.parts[{place}].text", "is required")
        texts.append(part.text)
    return "".join(texts)


def _check(where: str, parts: list[Part]) -> None:
    if not parts:
        raise bad(where, "must not be empty")
    for place, part in enumerate(parts):
        kinds = (part.text, part.inline_data, part.file_data, part.function_call, part.function_response)
        if sum(kind is not None for kind in kinds) != 1:
            names = '"text", "inlineData", "fileData", "functionCall" and "functionResponse"'
            raise bad(f"{where}[{place}]", f"must have one of {names}")


class _Calls:
    """Calls that wait for what their functions give. Where clients do not tell ids, names must do."""

    def __init__(self) -> None:
        self._made = 0
        self._open: list[tuple[str, str]] = []

    def add(self, call: FunctionCall) -> str:
        """The id of a new call."""
        call_id = call.id or f"call_{self._made}"
        self._made += 1
        self._open.append((call_id, call.name))
        return call_id

    def answered(self, where: str, response: FunctionResponse) -> str:
        """The id of the call that is answered; raises InvalidRequest if there is none."""
        for call_id, name in self._open:
            if call_id == response.id if response.id else name == response.name:
                self._open.remove((call_id, name))
                return call_id
        field = "id" if response.id else "name"
        raise bad(f"{where}.functionResponse.{field}", "must be that of a functionCall before, which has no answer yet")


def _model(where: str, content: Content, calls: _Calls) -> list[dict[str, Any]]:
    """What the model said. Its thoughts are not told again: models read their own no more."""
    said: list[str] = []
    called = []
    for place, part in enumerate(content.parts):
        at = f"{where}[{place}]"
        if part.function_call is not None:
            called.append(_call(part, part.function_call, calls))
        elif part.text is None:
            raise bad(at, 'must have "text" or "functionCall" in a turn of the model')
        elif not part.thought:
            said.append(part.text)
    if not said and not called:
        return []
    message: dict[str, Any] = {"role": "assistant", "content": "".join(said) if said else None}
    return [message | ({"tool_calls": called} if called else {})]


def _call(part: Part, call: FunctionCall, calls: _Calls) -> dict[str, Any]:
    function = {"name": call.name, "arguments": msgspec.json.encode(call.args or {}).decode()}
    found = {"id": calls.add(call), "type": "function", "function": function}
    if part.thought_signature:
        found["extra_content"] = {"google": {"thought_signature": part.thought_signature}}
    return found


def _user(where: str, content: Content, calls: _Calls) -> list[dict[str, Any]]:
    """What functions have given comes first, as it answers the turn before."""
    messages: list[dict[str, Any]] = []
    said: list[dict[str, Any]] = []
    for place, part in enumerate(content.parts):
        at = f"{where}[{place}]"
        given = part.function_response
        if given is not None:
            told = msgspec.json.encode(given.response).decode()
            messages.append({"role": "tool", "tool_call_id": calls.answered(at, given), "content": told})
        else:
            said.append(_said(at, part))
    if said:
        single = said[0].get("text") if len(said) == 1 else None
        messages.append({"role": "user", "content": said if single is None else single})
    return messages


def _said(at: str, part: Part) -> dict[str, Any]:
    if part.text is not None:
        return {"type": "text", "text": part.text}
    if part.inline_data is not None:
        _check_image(f"{at}.inlineData", part.inline_data.mime_type)
        return _image(f"data:{part.inline_data.mime_type};base64,{part.inline_data.data}")
    if part.file_data is not None:
        _check_image(f"{at}.fileData", part.file_data.mime_type)
        return _image(part.file_data.file_uri)
    raise bad(at, 'must have "text", "inlineData", "fileData" or "functionResponse" in a turn of the user')


def _check_image(at: str, mime_type: str) -> None:
    if not mime_type.startswith(_IMAGE):
        raise bad(f"{at}.mimeType", f'must be an image\'s, but is "{mime_type[:80]}"')


def _image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}
