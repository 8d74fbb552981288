"""Amazon Bedrock: chat by Converse, embeddings by InvokeModel, signed and read with botocore where it is installed."""

import asyncio
import re
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec
from yarl import URL

from penstock.adapters.providers.asking import address_problem, no_completions, secret_of, traced, who_is
from penstock.adapters.providers.bedrock_chat import ConverseEvents, answer_of, request_of
from penstock.adapters.providers.bedrock_embed import FAMILIES, read_answer, requests_of
from penstock.adapters.providers.chat_answer import Heading
from penstock.adapters.providers.chat_request import read_chat
from penstock.adapters.providers.embed_request import read_embed
from penstock.adapters.providers.gathered import Said, Vectors, gather
from penstock.adapters.providers.translated import TranslatedAnswer
from penstock.adapters.providers.wire import Wire, WireAnswer
from penstock.domain.errors import ProviderFailed
from penstock.domain.external_model import ExternalModel
from penstock.domain.model import Task
from penstock.ports.clock import Clock
from penstock.ports.provider import ProviderAnswer, ProviderCall

if TYPE_CHECKING:
    from botocore.eventstream import EventStreamMessage

_REGION = re.compile(r"[a-z0-9-]{1,40}")
_JSON = "application/json"
_COUNT = "x-amzn-bedrock-input-token-count"


class Bedrock:
    """See `penstock.ports.provider.Provider`."""

    def __init__(self, wire: Wire, clock: Clock, *, allow_private: bool) -> None:
        self._wire = wire
        self._clock = clock
        self._allow_private = allow_private
        self._loaded = False

    def problem(self, model: ExternalModel) -> str:
        """The extra, the way to authenticate, the task, the region, and the address."""
        fields, key = model.fields, model.form.key
        for field in ("instance_profile_arn", "uc_service_credential_name"):
            if field in fields:
                return (
                    f"{key}.{field} cannot be used: this server has no such identity. "
                    "Give aws_access_key_id and aws_secret_access_key."
                )
        vendor = _vendor(model)
        if gone := no_completions(model, Task.CHAT, Task.EMBEDDINGS):
            return gone
        if model.task is Task.EMBEDDINGS and vendor not in FAMILIES:
            return f"{key}.bedrock_provider must be amazon or cohere for task {model.task}, but is {vendor}."
        if not _REGION.fullmatch(fields["aws_region"]):
            return f"{key}.aws_region must be a region of AWS, such as us-east-1."
        return missing() or address_problem(model, allow_private=self._allow_private)

    async def open(self, call: ProviderCall) -> ProviderAnswer:
        """Asks Converse, or InvokeModel for embeddings."""
        if problem := missing():
            raise ProviderFailed(problem)
        if not self._loaded:
            # It takes a while, in which the loop must go on.
            await asyncio.to_thread(_load)
            self._loaded = True
        if call.model.task is Task.EMBEDDINGS:
            return await self._embed(call)
        who = who_is(call.model)
        body = request_of(read_chat(call.body, call.most), _vendor(call.model), who)
        answer = await self._post(call, "converse-stream" if call.streaming else "converse", body)
        heading = Heading(f"chatcmpl-{call.request_id}", self._clock.now_ms() // 1000, call.model.name)
        stream = _Stream(who, heading) if call.streaming else None
        return TranslatedAnswer(answer, who, lambda whole: answer_of(whole, heading), stream)

    async def _embed(self, call: ProviderCall) -> Said:
        embed, vendor = read_embed(call.body), _vendor(call.model)

        def read(answer: WireAnswer, body: bytes) -> Vectors:
            vectors, tokens = read_answer(body, vendor)
            header = answer.header(_COUNT)
            return vectors, int(header) if tokens is None and header.isdecimal() else tokens

        asks = [partial(self._post, call, "invoke", body) for body in requests_of(embed, vendor)]
        return await gather(call.model, embed, asks, read)

    async def _post(self, call: ProviderCall, operation: str, body: dict[str, object]) -> WireAnswer:
        fields = call.model.fields
        region = fields["aws_region"]
        base = fields.get("amazon_bedrock_api_base", endpoint(region)).rstrip("/")
        # What is signed must be what is sent, to the character.
        url = f"{base}/model/{quote(call.model.name, safe='-._~')}/{operation}"
        content = msgspec.json.encode(body)
        headers = signed(
            url, content, region, secret_of(call, "aws_access_key_id"), secret_of(call, "aws_secret_access_key")
        )
        return await self._wire.post(who_is(call.model), URL(url, encoded=True), headers | traced(call), content)


def missing() -> str:
    """What must be installed, empty if it is."""
    if find_spec("botocore") is not None:
        return ""
    return "Provider 'amazon-bedrock' needs botocore, which is not installed: pip install 'penstock[bedrock]'."


def endpoint(region: str) -> str:
    """The base URL of a region's runtime."""
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://bedrock-runtime.{region}.{domain}"


def signed(url: str, body: bytes, region: str, key: str, secret: str) -> dict[str, str]:
    """The headers of a POST of JSON, with its signature of version 4."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    request = AWSRequest("POST", url, headers={"content-type": _JSON}, data=body)
    SigV4Auth(Credentials(key, secret), "bedrock", region).add_auth(request)
    return {name: value for name, value in request.headers.items() if name.lower() != "content-type"}


def _vendor(model: ExternalModel) -> str:
    return model.fields["bedrock_provider"].lower()


def _load() -> None:
    import botocore.auth
    import botocore.awsrequest
    import botocore.credentials
    import botocore.eventstream  # noqa: F401 - loaded for later


class _Stream:
    """See `penstock.adapters.providers.translated.Translator`: AWS's binary event stream."""

    def __init__(self, who: str, heading: Heading) -> None:
        from botocore.eventstream import EventStreamBuffer

        self._who = who
        self._buffer = EventStreamBuffer()
        self._events = ConverseEvents(heading)

    @property
    def done(self) -> bool:
        """Whether all was told."""
        return self._events.done

    def feed(self, chunk: bytes) -> bytes:
        """The events that are whole with this chunk."""
        from botocore.eventstream import ParserError

        self._buffer.add_data(chunk)
        try:
            return b"".join(self._one(message) for message in self._buffer if not self.done)
        except (ParserError, KeyError, msgspec.DecodeError, UnicodeDecodeError):
            raise ProviderFailed(f"{self._who} sent an event that its API does not have.") from None

    def end(self) -> bytes:
        """The stream is over."""
        left = self._events.end()
        if not self.done:
            raise ProviderFailed(f"{self._who} broke off in the middle of its answer.")
        return left

    def _one(self, message: "EventStreamMessage") -> bytes:
        headers = message.headers
        if headers.get(":message-type") == "event":
            return self._events.event(str(headers.get(":event-type")), message.payload)
        kind = headers.get(":exception-type") or headers.get(":error-code")
        words = headers.get(":error-message") or message.payload.decode("utf-8", "replace")[:500]
        raise ProviderFailed(f"{self._who} failed in the middle of its answer: {kind}: {words}")
