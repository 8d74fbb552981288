"""Providers that speak OpenAI's wire format: OpenAI, Azure, Databricks, and what its operators call custom.

Bodies pass as they are but for the model's name and a few fields; answers pass as bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from penstock.adapters.providers.asking import address_problem, bearer, secret_of, traced, who_is
from penstock.adapters.providers.entra import AUTHORITY, Client, EntraTokens
from penstock.adapters.providers.event_reader import EventReader
from penstock.adapters.providers.openai_body import Extras, body_for
from penstock.adapters.providers.wire import Wire, WireAnswer
from penstock.domain.external_forms import OpenAiType, ProviderKind, openai_type
from penstock.domain.external_model import ExternalModel
from penstock.domain.model import Task
from penstock.domain.secret import Hidden
from penstock.ports.provider import ProviderCall

OPENAI = "https://api.openai.com/v1"
PATHS = {Task.CHAT: "/chat/completions", Task.COMPLETIONS: "/completions", Task.EMBEDDINGS: "/embeddings"}
_UNAUTHORIZED = 401
_REFUSALS = frozenset({400, 422})
_MOST_KINDS = 10_000


@dataclass(frozen=True, slots=True)
class Target:
    """Where to post, and with which headers; `client` is whose token it is, where one was fetched for it."""

    url: str
    headers: Mapping[str, str]
    client: Client | None = None


class OpenAiAnswer:
    """See `penstock.ports.provider.ProviderAnswer`."""

    __slots__ = ("_answer", "_reader", "content_type", "retry_after", "status")

    def __init__(self, answer: WireAnswer, who: str) -> None:
        self._answer = answer
        self._reader = EventReader(who)
        self.status = answer.status
        self.content_type = answer.content_type
        self.retry_after = answer.retry_after

    async def whole(self) -> bytes:
        """The body."""
        return await self._answer.whole()

    async def events(self) -> bytes:
        """The next events."""
        reader, answer = self._reader, self._answer
        found, chunk = b"", b"more"
        while chunk and not found and not reader.done:
            chunk = await answer.chunk()
            found = reader.feed(chunk) if chunk else reader.end()
        if reader.done:
            answer.complete()
        return found

    def close(self) -> None:
        """Safe to repeat."""
        self._answer.close()


class OpenAiWire:
    """See `penstock.ports.provider.Provider`."""

    def __init__(self, wire: Wire, tokens: EntraTokens, *, allow_private: bool) -> None:
        self._wire = wire
        self._tokens = tokens
        self._allow_private = allow_private
        self._extras: dict[tuple[str, str], Extras] = {}

    def problem(self, model: ExternalModel) -> str:
        """Private addresses; names are looked up when they are asked."""
        return address_problem(model, allow_private=self._allow_private)

    async def open(self, call: ProviderCall) -> OpenAiAnswer:
        """Asks for the usage of streams too, and for a bound; a server that refuses what was added is asked without."""
        target = await self._target(call)
        kind = (target.url, call.model.name)
        extras = begun = self._extras.get(kind, Extras())
        while True:
            body, added = body_for(call, extras)
            answer = await self._post(call, target, body)
            refused = added and answer.status in _REFUSALS
            less = extras.without(await answer.whole(), added) if refused else None
            if less is None:
                break
            answer.close()
            extras = less
        if extras != begun and len(self._extras) < _MOST_KINDS:
            self._extras[kind] = extras.learned(begun)
        return OpenAiAnswer(answer, who_is(call.model))

    async def _post(self, call: ProviderCall, target: Target, body: bytes) -> WireAnswer:
        answer = await self._wire.post(who_is(call.model), target.url, {**traced(call), **target.headers}, body)
        if answer.status == _UNAUTHORIZED and target.client is not None:
            self._tokens.refused(target.client)
        return answer

    async def _target(self, call: ProviderCall) -> Target:
        model, fields = call.model, call.model.fields
        path = PATHS[model.task]
        if model.provider is ProviderKind.DATABRICKS:
            url = f"{_base(fields['databricks_workspace_url'])}/serving-endpoints/{quote(model.name)}/invocations"
            return Target(url, bearer(call, "databricks_api_token"))
        if model.provider is ProviderKind.CUSTOM:
            base = _base(fields["custom_provider_url"])
            return Target(base if base.endswith(path) else base + path, _custom(call))
        organization = fields.get("openai_organization")
        headers = {"openai-organization": organization} if organization else {}
        if openai_type(fields) is OpenAiType.OPENAI:
            url = _base(fields.get("openai_api_base", OPENAI)) + path
            return Target(url, headers | bearer(call, "openai_api_key"))
        return await self._azure(call, headers)

    async def _azure(self, call: ProviderCall, headers: Mapping[str, str]) -> Target:
        fields = call.model.fields
        deployment, version = fields["openai_deployment_name"], fields["openai_api_version"]
        url = (
            f"{_base(fields['openai_api_base'])}/openai/deployments/{quote(deployment, safe='')}"
            f"{PATHS[call.model.task]}?api-version={quote(version, safe='')}"
        )
        if openai_type(fields) is OpenAiType.AZURE:
            return Target(url, {**headers, "api-key": secret_of(call, "openai_api_key")})
        client = Client(
            fields["microsoft_entra_tenant_id"],
            fields["microsoft_entra_client_id"],
            Hidden(secret_of(call, "microsoft_entra_client_secret")),
            fields.get("microsoft_entra_authority", AUTHORITY),
        )
        token = await self._tokens.token(client)
        return Target(url, {**headers, "authorization": f"Bearer {token.reveal()}"}, client)


def _base(url: str) -> str:
    return url.rstrip("/")


def _custom(call: ProviderCall) -> dict[str, str]:
    if "bearer_token_auth.token" in call.secrets:
        return bearer(call, "bearer_token_auth.token")
    return {call.model.fields["api_key_auth.key"]: secret_of(call, "api_key_auth.value")}
