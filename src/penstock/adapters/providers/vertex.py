"""Google Cloud's Vertex AI: Gemini's chat and Google's embeddings, in the name of a service account."""

import re
from functools import partial
from urllib.parse import quote

import msgspec

from penstock.adapters.providers.asking import address_problem, no_completions, traced, who_is
from penstock.adapters.providers.chat_answer import Heading
from penstock.adapters.providers.chat_request import read_chat
from penstock.adapters.providers.embed_request import read_embed
from penstock.adapters.providers.gathered import Said, gather
from penstock.adapters.providers.google_tokens import GoogleTokens, missing
from penstock.adapters.providers.translated import SseTranslator, TranslatedAnswer
from penstock.adapters.providers.vertex_chat import ChatEvents, answer_of, request_of
from penstock.adapters.providers.vertex_embed import operation_of, read_answer, requests_of
from penstock.adapters.providers.wire import Wire, WireAnswer
from penstock.domain.external_model import ExternalModel
from penstock.domain.model import Task
from penstock.ports.clock import Clock
from penstock.ports.provider import ProviderAnswer, ProviderCall

_REGION = re.compile(r"[a-z0-9-]{1,40}")
_MULTI_REGIONS = frozenset({"us", "eu"})
_UNAUTHORIZED = 401


class Vertex:
    """See `penstock.ports.provider.Provider`."""

    def __init__(self, wire: Wire, clock: Clock, *, allow_private: bool) -> None:
        self._wire = wire
        self._clock = clock
        self._tokens = GoogleTokens(wire, clock)
        self._allow_private = allow_private

    def problem(self, model: ExternalModel) -> str:
        """The extra, the task, the region, and the address."""
        if gone := no_completions(model, Task.CHAT, Task.EMBEDDINGS):
            return gone
        if not _REGION.fullmatch(model.fields["region"]):
            return f"{model.form.key}.region must be a location of Vertex AI, such as us-central1 or global."
        return missing() or address_problem(model, allow_private=self._allow_private)

    async def open(self, call: ProviderCall) -> ProviderAnswer:
        """Asks generateContent, or what the embedding model is asked by."""
        if call.model.task is Task.EMBEDDINGS:
            return await self._embed(call)
        who = who_is(call.model)
        body = request_of(read_chat(call.body, call.most), who)
        operation = "streamGenerateContent?alt=sse" if call.streaming else "generateContent"
        answer = await self._post(call, operation, body)
        heading = Heading(f"chatcmpl-{call.request_id}", self._clock.now_ms() // 1000, call.model.name)
        stream = SseTranslator(who, ChatEvents(who, heading)) if call.streaming else None
        return TranslatedAnswer(answer, who, lambda whole: answer_of(whole, heading), stream)

    async def _embed(self, call: ProviderCall) -> Said:
        embed, model = read_embed(call.body), call.model.name

        def read(_answer: WireAnswer, body: bytes) -> tuple[list[list[float]], int | None]:
            return read_answer(body, model)

        asks = [partial(self._post, call, operation_of(model), body) for body in requests_of(embed, model)]
        return await gather(call.model, embed, asks, read)

    async def _post(self, call: ProviderCall, operation: str, body: dict[str, object]) -> WireAnswer:
        account = call.secrets["private_key"]
        token = await self._tokens.token(account)
        headers = {"authorization": f"Bearer {token.reveal()}", **traced(call)}
        url = f"{_models(call.model)}/{quote(call.model.name, safe='')}:{operation}"
        answer = await self._wire.post(who_is(call.model), url, headers, msgspec.json.encode(body))
        if answer.status == _UNAUTHORIZED:
            self._tokens.refused(account)
        return answer


def endpoint(region: str) -> str:
    """The base URL of a location."""
    if region == "global":
        return "https://aiplatform.googleapis.com"
    if region in _MULTI_REGIONS:
        return f"https://aiplatform.{region}.rep.googleapis.com"
    return f"https://{region}-aiplatform.googleapis.com"


def _models(model: ExternalModel) -> str:
    fields = model.fields
    base = fields.get("vertex_ai_api_base", endpoint(fields["region"])).rstrip("/").removesuffix("/v1")
    project = quote(fields["project_id"], safe="")
    return f"{base}/v1/projects/{project}/locations/{fields['region']}/publishers/google/models"
