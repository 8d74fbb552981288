"""What the data plane asks of a wire format, for responses."""

import msgspec

from penstock.domain.errors import EngineFailed
from penstock.web.openai.chat_answer import Used, parts_of, read_answer
from penstock.web.openai.dialect import Heading, in_words_of, read_error
from penstock.web.responses import request as requests
from penstock.web.responses.events import ResponseEvents
from penstock.web.responses.response import COMPLETED, Naming, ended, item, response, status_of

_NAMES = {"messages": "input", "max_tokens": "max_output_tokens", "response_format": "text.format"}


class ResponsesDialect:
    """See `penstock.web.openai.dialect.Dialect`."""

    path = "responses"
    key_header: bytes | None = None

    def open(self, heading: Heading) -> "ResponsesTranslation":
        """Begins an exchange."""
        return ResponsesTranslation(Naming(heading.request_id))


class ResponsesTranslation:
    """See `penstock.web.openai.dialect.Translation`. Errors keep the API's shape, which OpenAI's clients read."""

    def __init__(self, naming: Naming) -> None:
        self._naming = naming
        self._request: requests.ResponsesRequest | None = None
        self._events: ResponseEvents | None = None

    def chat(self, body: bytes) -> bytes:
        """The chat body that asks the same."""
        self._request = requests.read(body)
        self._events = ResponseEvents(self._request, self._naming)
        return requests.chat_body(self._request)

    def whole(self, body: bytes) -> bytes:
        """A response."""
        answer = read_answer(body)
        if self._request is None or not answer.choices:
            raise EngineFailed("The model's answer is empty.")
        choice = answer.choices[0]
        finish = choice.finish_reason or ""
        *before, last = parts_of(choice)
        items = [item(self._naming, part, COMPLETED) for part in before]
        items.append(item(self._naming, last, status_of(finish)))
        told = response(self._request, self._naming, answer, items, status_of(finish))
        return msgspec.json.encode(ended(told, finish, answer.usage or Used()))

    def events(self, chunk: bytes) -> bytes:
        """Events of a response's stream."""
        return self._events.feed(chunk) if self._events is not None else b""

    def refusal(self, status: int, body: bytes) -> bytes:
        """The error, with the fields called as in a request for a response."""
        said = read_error(status, body)
        return msgspec.json.encode(said | {"message": in_words_of(_NAMES, str(said["message"]))})
