"""Requests to external models: one provider is asked, and others in its place while nothing has come back.

There is no gate: what is asked elsewhere takes nothing of our devices.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from penstock.domain.errors import DoesNotExist, InvalidRequest, PermissionDenied, ProviderFailed
from penstock.domain.external_model import ExternalEntity
from penstock.domain.genai import provider_of
from penstock.domain.secret import Hidden
from penstock.domain.usage import RequestOutcome
from penstock.gateway.meter import Meter
from penstock.gateway.table import Table
from penstock.gateway.tail import END
from penstock.gateway.trip import Trip
from penstock.ports.provider import Provider, ProviderAnswer, ProviderCall, SecretReader

_CLIENT_ERROR = 400
_SERVER_ERROR = 500
_TOO_MANY = 429
_JSON = b"application/json"
_NO_ANSWER = "provider_failed"
_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    409: "RESOURCE_CONFLICT",
    429: "REQUEST_LIMIT_EXCEEDED",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


@dataclass(frozen=True, slots=True)
class _Opened:
    """An answer that has begun; of one that is an error, or whole, all of it is here."""

    entity: ExternalEntity
    answer: ProviderAnswer
    secrets: Mapping[str, Hidden]
    body: bytes

    @property
    def failed(self) -> bool:
        """Whether another entity might do better."""
        return self.answer.status == _TOO_MANY or self.answer.status >= _SERVER_ERROR


class Abroad:
    """Carries requests to providers, and their answers back."""

    def __init__(self, provider: Provider, secrets: SecretReader) -> None:
        self._provider = provider
        self._secrets = secrets

    async def carry(self, trip: Trip) -> None:
        """Answers the request; its served entity was chosen.

        Raises:
            InvalidRequest: a secret cannot be read.
            ProviderFailed: a provider cannot be reached, broke off, or did not answer in time.
        """
        trip.entry.admit()
        opened = await self._open(trip)
        trip.entry.speak()
        if opened.answer.status >= _CLIENT_ERROR:
            await _refused(trip, opened)
        elif trip.entry.streaming:
            await _stream(trip, opened)
        else:
            await _whole(trip, opened)

    async def prepare(self, table: Table) -> str:
        """A loop's step: reads the secrets that requests may need, which then need no database for them."""
        for name in table.names():
            route = table.find(name)
            for entity in route.entities if route is not None else ():
                if entity.external is not None:
                    with suppress(InvalidRequest):  # told to who asks
                        await self._read(entity.external)
        return ""

    def close(self, trip: Trip) -> None:
        """The request has left its provider. Safe to repeat."""
        if trip.abroad is not None:
            trip.abroad.close()
            trip.abroad = None

    async def _open(self, trip: Trip) -> _Opened:
        """The first answer that is not a provider's failure, or the last one that is."""
        candidates = _candidates(trip)
        for place, entity in enumerate(candidates):
            trip.entity = trip.entry.entity = entity.name
            is_last = place == len(candidates) - 1
            try:
                opened = await self._ask(trip, entity)
                why = f"answered {opened.answer.status}"
                if is_last or not opened.failed:
                    return opened
                trip.back(str(opened.answer.status))
            except ProviderFailed as error:
                trip.back(_NO_ANSWER)
                if is_last:
                    raise
                why = error.message.rstrip(".")
            self.close(trip)
            said = f"'{entity.name}' failed ({why}), so '{candidates[place + 1].name}' was asked"
            trip.entry.decision = f"{trip.entry.decision}; {said}" if trip.entry.decision else said
        raise InvalidRequest(f"Endpoint '{trip.endpoint.name}' has no external model.")

    async def _ask(self, trip: Trip, entity: ExternalEntity) -> _Opened:
        """Returns with the first events or the whole body: a stream that breaks off before is not an answer."""
        trip.meter = None
        secrets = await self._read(entity)
        asked = trip.asked
        assert asked is not None
        most = trip.held.most if trip.held is not None else None
        trip.meter = Meter(asked.size, counted=asked.counted, hides_usage=not asked.usage_wanted)
        trace = trip.leave(provider_of(entity.model), entity.model.name)
        call = ProviderCall(entity.model, secrets, trip.call.body, asked.streaming, trip.call.request_id, most, trace)
        with trip.own:
            answer = trip.abroad = await self._provider.open(call)
            streams = asked.streaming and answer.status < _CLIENT_ERROR
            body = await answer.events() if streams else await answer.whole()
        return _Opened(entity, answer, secrets, body)

    async def _read(self, entity: ExternalEntity) -> dict[str, Hidden]:
        found = {}
        for field, ref in entity.model.refs.items():
            try:
                found[field] = await self._secrets.resolve_as(ref, entity.reader)
            except (DoesNotExist, PermissionDenied, InvalidRequest) as error:
                raise InvalidRequest(
                    f"{field} of served entity '{entity.name}' cannot be read: {error.message}"
                ) from None
        return found


def _candidates(trip: Trip) -> list[ExternalEntity]:
    """The entity that was chosen, and with fallback the others, in their order after it."""
    entities = trip.endpoint.entities
    names = [one.name for one in entities]
    start = names.index(trip.entity)
    ordered = (*entities[start:], *entities[:start])
    # Who addresses one entity wants that one.
    wanted = ordered if trip.endpoint.fallback and trip.call.entity is None else ordered[:1]
    return [one.external for one in wanted if one.external is not None]


async def _refused(trip: Trip, opened: _Opened) -> None:
    entry, answer = trip.entry, opened.answer
    provider = opened.entity.model.provider
    outcome = RequestOutcome.FAILED if answer.status >= _SERVER_ERROR else RequestOutcome.REJECTED
    entry.end(outcome, answer.status, f"{provider} answered {answer.status}")
    body = error_of(provider, answer.status, opened.body, opened.secrets)
    await trip.reply.whole(answer.status, _JSON, trip.entity, body, answer.retry_after)


async def _whole(trip: Trip, opened: _Opened) -> None:
    entry, answer, meter = trip.entry, opened.answer, trip.meter
    assert meter is not None
    meter.whole(opened.body)
    entry.usage = meter.usage()
    entry.end(RequestOutcome.COMPLETED, answer.status)
    await trip.reply.whole(answer.status, answer.content_type, trip.entity, opened.body, answer.retry_after)


async def _stream(trip: Trip, opened: _Opened) -> None:
    entry, reply, answer, meter = trip.entry, trip.reply, opened.answer, trip.meter
    assert meter is not None
    await reply.begin(answer.status, answer.content_type, trip.entity)
    events = opened.body
    while events:
        passed = meter.feed(events)
        if trip.held is not None:
            trip.held.stream(events.count(END))
        if meter.done:
            entry.usage = meter.usage()
            entry.end(RequestOutcome.COMPLETED, answer.status)
        if passed:
            await reply.send(passed)
        events = b"" if meter.done else await answer.events()
    if not meter.done:
        entry.usage = meter.usage()
        entry.end(RequestOutcome.FAILED, _SERVER_ERROR, "the provider failed")
    await reply.end()


def error_of(provider: str, status: int, body: bytes, secrets: Mapping[str, Hidden]) -> bytes:
    """A provider's error in the platform's shape, with its own words, in which no secret may be."""
    for secret in secrets.values():
        for text in {secret.reveal(), secret.reveal().strip()} - {""}:
            body = body.replace(text.encode(), b"***").replace(msgspec.json.encode(text)[1:-1], b"***")
    try:
        said = msgspec.json.decode(body, type=object)
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = body.decode("utf-8", "replace")
    return msgspec.json.encode(
        {
            "error_code": _CODES.get(status, "INTERNAL_ERROR" if status >= _SERVER_ERROR else "BAD_REQUEST"),
            "error": f"Received error from {provider}",
            "external_model_message": said,
        }
    )
