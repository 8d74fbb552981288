"""Other wire formats for chat: a request becomes a chat completion, and the chat answer is rewritten on its way out."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
from starlette.types import Send

from penstock.gateway.overhead import Overhead
from penstock.web.errors import ErrorAnswer
from penstock.web.openai.reply import AsgiReply

_ERRORS = 400
_FAULTS = 500
_FIELD = re.compile(r'"(\w+)([^"\s]*)"')

_MODEL = "{model}"

Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Heading:
    """What a request says before its body; `model` is what its path has where a dialect's path has `{model}`."""

    request_id: str
    headers: Iterable[Header] = ()
    query: bytes = b""
    model: str = ""


class Translation(Protocol):
    """One exchange. Nothing here does I/O."""

    def chat(self, body: bytes) -> bytes:
        """The chat body that asks the same; raises InvalidRequest that names the field and its rule."""
        ...

    def whole(self, body: bytes) -> bytes:
        """A complete chat answer in this wire format; raises EngineFailed if it is none."""
        ...

    def events(self, chunk: bytes) -> bytes:
        """What follows from the next bytes of a chat stream, which may be nothing. An error event ends the stream."""
        ...

    def refusal(self, status: int, body: bytes) -> bytes:
        """An error's body in this wire format. It is in the API's shape, or in that of another server."""
        ...


class Dialect(Protocol):
    """A wire format, and the path under the data plane's prefix where it is spoken.

    A path with `{model}` names the endpoint there. `key_header`: where clients may send their credential too.
    """

    path: str
    key_header: bytes | None

    def open(self, heading: Heading) -> Translation:
        """Begins an exchange."""
        ...


class Dialects:
    """Dialects by their whole paths, which begin with the prefix."""

    def __init__(self, prefix: str, dialects: Sequence[Dialect]) -> None:
        self.paths = [prefix + dialect.path for dialect in dialects]
        self._plain: dict[str, Dialect] = {}
        self._named: list[tuple[str, str, Dialect]] = []
        for path, dialect in zip(self.paths, dialects, strict=True):
            before, named, after = path.partition(_MODEL)
            if named:
                self._named.append((before, after, dialect))
            else:
                self._plain[path] = dialect

    def find(self, path: str) -> tuple[Dialect, str] | None:
        """What is spoken at a path, and the model that it names, if it does."""
        dialect = self._plain.get(path)
        if dialect is not None:
            return dialect, ""
        for before, after, one in self._named:
            model = path[len(before) : -len(after)]
            if model and path.startswith(before) and path.endswith(after):
                return one, model
        return None


class DialectReply(AsgiReply):
    """A client's end that reads another wire format."""

    def __init__(
        self, send: Send, request_id: str, workspace_id: bytes, own: Overhead, translation: Translation
    ) -> None:
        super().__init__(send, request_id, workspace_id, own)
        self._translation = translation

    async def send(self, chunk: bytes) -> None:
        """Sends what follows from bytes of a chat stream."""
        events = self._translation.events(chunk)
        if events:
            await super().send(events)

    async def whole(self, status: int, content_type: bytes, entity: str, body: bytes, retry_after: bytes = b"") -> None:
        """Sends a complete chat answer, or an engine's refusal."""
        said = self._translation.whole(body) if status < _ERRORS else self._translation.refusal(status, body)
        await super().whole(status, content_type, entity, said, retry_after)

    async def error(self, answer: ErrorAnswer) -> None:
        """Sends an error answer."""
        body = self._translation.refusal(answer.status, answer.body)
        headers = [pair for pair in answer.headers if pair[0] != b"content-length"]
        length = (b"content-length", b"%d" % len(body))
        await super().error(ErrorAnswer(answer.status, (*headers, length), body, answer.code))


def read_error(status: int, body: bytes) -> dict[str, object]:
    """An error's body in the API's shape, whichever server wrote it."""
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = None
    if not isinstance(said, dict):
        said = {}
    if "message" in said and "error_code" in said:
        return said
    code = said.get("error_code", "BAD_REQUEST" if status < _FAULTS else "INTERNAL_ERROR")
    words = [said.get("error"), said.get("external_model_message")]
    message = ": ".join(filter(None, map(_words, words))) or f"The model's server answered with status {status}."
    return said | {"error_code": code, "message": message}


def _words(said: object) -> str:
    """What an error of another server says, however deep it lies."""
    while isinstance(said, dict):
        said = said.get("error", said.get("message"))
    return str(said or "")


def in_words_of(names: Mapping[str, str], message: str) -> str:
    """A message about a chat body with its fields called as the client called them. `names` go from chat's names."""

    def renamed(found: re.Match[str]) -> str:
        # what follows a name is a position in a chat body, which says nothing to who has not written it
        name = names.get(found[1])
        return f'"{name}"' if name else found[0]

    return _FIELD.sub(renamed, message)


def read_header(headers: Iterable[Header], wanted: bytes) -> bytes | None:
    """A header as it was sent, None if it was not."""
    return next((value for name, value in headers if name == wanted), None)
