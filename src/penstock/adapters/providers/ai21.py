"""AI21 Labs: chat by the API of its Jamba models."""

from collections.abc import Callable

import msgspec

from penstock.adapters.providers.ai21_chat import ChatEvents, answer_of, replay_of, request_of, streams
from penstock.adapters.providers.asking import address_problem, bearer, no_completions, traced, who_is
from penstock.adapters.providers.chat_answer import Heading
from penstock.adapters.providers.chat_request import read_chat
from penstock.adapters.providers.translated import SseTranslator, TranslatedAnswer, Translator
from penstock.adapters.providers.wire import MOST_BYTES, Wire
from penstock.domain.errors import ProviderFailed
from penstock.domain.external_model import ExternalModel
from penstock.domain.model import Task
from penstock.ports.clock import Clock
from penstock.ports.provider import ProviderCall

BASE = "https://api.ai21.com/studio/v1"


class Ai21:
    """See `penstock.ports.provider.Provider`."""

    def __init__(self, wire: Wire, clock: Clock, *, allow_private: bool) -> None:
        self._wire = wire
        self._clock = clock
        self._allow_private = allow_private

    def problem(self, model: ExternalModel) -> str:
        """Completions, and the address."""
        return no_completions(model, Task.CHAT) or address_problem(model, allow_private=self._allow_private)

    async def open(self, call: ProviderCall) -> TranslatedAnswer:
        """Asks the chat API. What it cannot stream comes whole, and is told as a stream then."""
        who, chat = who_is(call.model), read_chat(call.body, call.most)
        base = call.model.fields.get("ai21labs_api_base", BASE).rstrip("/")
        body = request_of(chat, call.model.name, who, streaming=call.streaming)
        headers = bearer(call, "ai21labs_api_key") | traced(call)
        heading = Heading(f"chatcmpl-{call.request_id}", self._clock.now_ms() // 1000, call.model.name)
        answer = await self._wire.post(who, f"{base}/chat/completions", headers, msgspec.json.encode(body))
        stream: Translator | None = None
        if call.streaming:
            events = ChatEvents(heading)
            stream = SseTranslator(who, events) if streams(chat) else _Replay(who, lambda one: replay_of(one, heading))
        return TranslatedAnswer(answer, who, lambda whole: answer_of(whole, heading), stream)


class _Replay:
    """See `penstock.adapters.providers.translated.Translator`: an answer that comes whole."""

    def __init__(self, who: str, translate: Callable[[bytes], bytes]) -> None:
        self._who = who
        self._translate = translate
        self._parts: list[bytes] = []
        self._size = 0
        self.done = False

    def feed(self, chunk: bytes) -> bytes:
        """Kept until all is there."""
        self._parts.append(chunk)
        self._size += len(chunk)
        if self._size > MOST_BYTES:
            raise ProviderFailed(f"The answer of {self._who} is larger than {MOST_BYTES} bytes.")
        return b""

    def end(self) -> bytes:
        """The whole answer."""
        self.done = True
        try:
            return self._translate(b"".join(self._parts))
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ProviderFailed(f"The answer of {self._who} has not the shape of its API.") from None
