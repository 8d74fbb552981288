"""What the data plane asks of a wire format, for messages."""

import msgspec

from penstock.domain.errors import EngineFailed
from penstock.web.anthropic import request as requests
from penstock.web.anthropic.errors import told
from penstock.web.anthropic.events import MessageEvents
from penstock.web.anthropic.message import block, ending_of, message
from penstock.web.openai.chat_answer import Used, parts_of, read_answer
from penstock.web.openai.dialect import Heading, in_words_of, read_error, read_header
from penstock.web.openai.rules import bad

VERSIONS = ("2023-06-01", "2026-10-21")
"""They differ in what Anthropic refuses of sampling, which our models do take."""
_NAMES = {"stop": "stop_sequences", "response_format": "output_config.format"}


class MessagesDialect:
    """See `penstock.web.openai.dialect.Dialect`."""

    path = "anthropic/v1/messages"
    key_header: bytes | None = b"x-api-key"

    def open(self, heading: Heading) -> "MessagesTranslation":
        """Begins an exchange."""
        return MessagesTranslation(heading.request_id, read_header(heading.headers, b"anthropic-version"))


class MessagesTranslation:
    """See `penstock.web.openai.dialect.Translation`."""

    def __init__(self, request_id: str, version: bytes | None) -> None:
        self._request_id = request_id
        self._version = version
        self._events = MessageEvents(request_id)

    def chat(self, body: bytes) -> bytes:
        """The chat body that asks the same."""
        if self._version is not None and self._version.decode("ascii", "replace") not in VERSIONS:
            raise bad("anthropic-version", f"is a header that must be {' or '.join(VERSIONS)}, or not be there")
        return requests.chat_body(requests.read(body))

    def whole(self, body: bytes) -> bytes:
        """A message."""
        answer = read_answer(body)
        if not answer.choices:
            raise EngineFailed("The model's answer is empty.")
        choice = answer.choices[0]
        content = [block(part) for part in parts_of(choice)]
        ending = ending_of(choice.finish_reason or "", choice.stop)
        return msgspec.json.encode(message(self._request_id, answer, content, ending, answer.usage or Used()))

    def events(self, chunk: bytes) -> bytes:
        """Events of a message's stream."""
        return self._events.feed(chunk)

    def refusal(self, status: int, body: bytes) -> bytes:
        """The error in Anthropic's shape, and its own fields in the API's."""
        said = read_error(status, body)
        code, words = str(said["error_code"]), in_words_of(_NAMES, str(said["message"]))
        return msgspec.json.encode(said | {"message": words} | told(code, words, self._request_id))
