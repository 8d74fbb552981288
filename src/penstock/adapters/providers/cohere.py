"""Cohere: chat and embeddings by version 2 of its API."""

from functools import partial

import msgspec

from penstock.adapters.providers.asking import address_problem, bearer, no_completions, traced, who_is
from penstock.adapters.providers.chat_answer import Heading
from penstock.adapters.providers.chat_request import read_chat
from penstock.adapters.providers.cohere_chat import ChatEvents, answer_of, request_of
from penstock.adapters.providers.cohere_embed import read_answer, requests_of
from penstock.adapters.providers.embed_request import read_embed
from penstock.adapters.providers.gathered import Said, Vectors, gather
from penstock.adapters.providers.translated import SseTranslator, TranslatedAnswer
from penstock.adapters.providers.wire import Wire, WireAnswer
from penstock.domain.external_model import ExternalModel
from penstock.domain.model import Task
from penstock.ports.clock import Clock
from penstock.ports.provider import ProviderAnswer, ProviderCall

BASE = "https://api.cohere.com"


class Cohere:
    """See `penstock.ports.provider.Provider`."""

    def __init__(self, wire: Wire, clock: Clock, *, allow_private: bool) -> None:
        self._wire = wire
        self._clock = clock
        self._allow_private = allow_private

    def problem(self, model: ExternalModel) -> str:
        """Completions, and the address."""
        gone = no_completions(model, Task.CHAT, Task.EMBEDDINGS)
        return gone or address_problem(model, allow_private=self._allow_private)

    async def open(self, call: ProviderCall) -> ProviderAnswer:
        """Asks the Chat API, or the Embed API."""
        if call.model.task is Task.EMBEDDINGS:
            return await self._embed(call)
        who = who_is(call.model)
        body = request_of(read_chat(call.body, call.most), call.model.name, who, streaming=call.streaming)
        answer = await self._post(call, "chat", body)
        heading = Heading(f"chatcmpl-{call.request_id}", self._clock.now_ms() // 1000, call.model.name)
        stream = SseTranslator(who, ChatEvents(who, heading)) if call.streaming else None
        return TranslatedAnswer(answer, who, lambda whole: answer_of(whole, heading, who), stream)

    async def _embed(self, call: ProviderCall) -> Said:
        embed = read_embed(call.body)

        def read(_answer: WireAnswer, body: bytes) -> Vectors:
            return read_answer(body)

        asks = [partial(self._post, call, "embed", body) for body in requests_of(embed, call.model.name)]
        return await gather(call.model, embed, asks, read)

    async def _post(self, call: ProviderCall, operation: str, body: dict[str, object]) -> WireAnswer:
        """The base URL may name a version, as that of the older API had to."""
        base = call.model.fields.get("cohere_api_base", BASE).rstrip("/").removesuffix("/v1").removesuffix("/v2")
        url, content = f"{base}/v2/{operation}", msgspec.json.encode(body)
        return await self._wire.post(who_is(call.model), url, bearer(call, "cohere_api_key") | traced(call), content)
