"""Anthropic: chat by its Messages API."""

import msgspec

from penstock.adapters.providers.anthropic_chat import ChatEvents, answer_of, request_of
from penstock.adapters.providers.asking import address_problem, no_completions, secret_of, traced, who_is
from penstock.adapters.providers.chat_request import read_chat
from penstock.adapters.providers.translated import SseTranslator, TranslatedAnswer
from penstock.adapters.providers.wire import Wire
from penstock.domain.external_model import ExternalModel
from penstock.domain.model import Task
from penstock.ports.clock import Clock
from penstock.ports.provider import ProviderCall

BASE = "https://api.anthropic.com"
VERSION = "2023-06-01"


class Anthropic:
    """See `penstock.ports.provider.Provider`."""

    def __init__(self, wire: Wire, clock: Clock, *, allow_private: bool) -> None:
        self._wire = wire
        self._clock = clock
        self._allow_private = allow_private

    def problem(self, model: ExternalModel) -> str:
        """Completions, and the address."""
        gone = no_completions(model, Task.CHAT)
        return gone or address_problem(model, allow_private=self._allow_private)

    async def open(self, call: ProviderCall) -> TranslatedAnswer:
        """Asks the Messages API."""
        who = who_is(call.model)
        base = call.model.fields.get("anthropic_api_base", BASE).rstrip("/").removesuffix("/v1")
        body = request_of(read_chat(call.body, call.most), call.model.name, who, streaming=call.streaming)
        headers = {"x-api-key": secret_of(call, "anthropic_api_key"), "anthropic-version": VERSION}
        created = self._clock.now_ms() // 1000
        answer = await self._wire.post(who, f"{base}/v1/messages", headers | traced(call), msgspec.json.encode(body))
        stream = SseTranslator(who, ChatEvents(who, created)) if call.streaming else None
        return TranslatedAnswer(answer, who, lambda whole: answer_of(whole, created), stream)
