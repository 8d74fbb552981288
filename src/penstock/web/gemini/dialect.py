"""What the data plane asks of a wire format, for contents. Whether one streams is said by the path."""

from urllib.parse import parse_qsl

import msgspec

from penstock.domain.errors import EngineFailed
from penstock.web.gemini import request as requests
from penstock.web.gemini.answer import content, whole
from penstock.web.gemini.errors import told
from penstock.web.gemini.events import ContentEvents
from penstock.web.openai.chat_answer import Used, read_answer
from penstock.web.openai.dialect import Heading, in_words_of, read_error
from penstock.web.openai.rules import bad

_MODELS = "gemini/v1beta/models/{model}"
_KEY = b"x-goog-api-key"
_NAMES = {
    "messages": "contents",
    "max_tokens": "generationConfig.maxOutputTokens",
    "stop": "generationConfig.stopSequences",
    "top_logprobs": "generationConfig.logprobs",
    "logprobs": "generationConfig.responseLogprobs",
    "top_k": "generationConfig.topK",
    "seed": "generationConfig.seed",
    "presence_penalty": "generationConfig.presencePenalty",
    "frequency_penalty": "generationConfig.frequencyPenalty",
    "response_format": "generationConfig.responseMimeType",
    "reasoning_effort": "generationConfig.thinkingConfig.thinkingLevel",
    "tool_choice": "toolConfig.functionCallingConfig",
}


class ContentDialect:
    """See `penstock.web.openai.dialect.Dialect`."""

    path = f"{_MODELS}:generateContent"
    key_header: bytes | None = _KEY

    def open(self, heading: Heading) -> "ContentTranslation":
        """Begins an exchange."""
        return ContentTranslation(heading, streams=False)


class ContentStreamDialect:
    """See `penstock.web.openai.dialect.Dialect`."""

    path = f"{_MODELS}:streamGenerateContent"
    key_header: bytes | None = _KEY

    def open(self, heading: Heading) -> "ContentTranslation":
        """Begins an exchange."""
        return ContentTranslation(heading, streams=True)


class ContentTranslation:
    """See `penstock.web.openai.dialect.Translation`."""

    def __init__(self, heading: Heading, *, streams: bool) -> None:
        self._heading = heading
        self._streams = streams
        self._thoughts = False
        self._events: ContentEvents | None = None

    def chat(self, body: bytes) -> bytes:
        """The chat body that asks the same."""
        self._check_query()
        request = requests.read(body)
        self._thoughts = request.shows_thoughts
        self._events = ContentEvents(self._heading.request_id, thoughts=self._thoughts)
        return requests.chat_body(self._heading.model, request, streams=self._streams)

    def whole(self, body: bytes) -> bytes:
        """A complete answer."""
        answer = read_answer(body)
        if not answer.choices:
            raise EngineFailed("The model's answer is empty.")
        candidates = [whole(place, choice, thoughts=self._thoughts) for place, choice in enumerate(answer.choices)]
        used = answer.usage or Used()
        return msgspec.json.encode(content(self._heading.request_id, answer.model, candidates, used))

    def events(self, chunk: bytes) -> bytes:
        """Events of a stream."""
        return self._events.feed(chunk) if self._events is not None else b""

    def refusal(self, status: int, body: bytes) -> bytes:
        """The error in Google's shape, and its own fields in the API's."""
        said = read_error(status, body)
        code, words = str(said["error_code"]), in_words_of(_NAMES, str(said["message"]))
        return msgspec.json.encode(said | {"message": words} | told(code, words, status))

    def _check_query(self) -> None:
        """Raises InvalidRequest for what the address asks for and does not get."""
        wanted = "sse" if self._streams else "json"
        given = dict(parse_qsl(self._heading.query.decode("ascii", "replace"), keep_blank_values=True))
        for name in given:
            if name != "alt":
                raise bad(name[:80], "is not supported in the address")
        if given.get("alt", "" if self._streams else wanted) != wanted:
            raise bad("alt", f'must be "{wanted}" in the address')
