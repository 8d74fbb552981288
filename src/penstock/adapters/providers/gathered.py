"""Embeddings that take several requests, gathered into one answer."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from penstock.adapters.providers.asking import who_is
from penstock.adapters.providers.embed_request import Embed
from penstock.adapters.providers.wire import WireAnswer
from penstock.domain.errors import ProviderFailed
from penstock.domain.external_model import ExternalModel

AT_ONCE = 8
"""Requests that are under way for one request of ours."""
_OK, _ERROR = 200, 400
_JSON = b"application/json"
Vectors = tuple[list[list[float]], int | None]
"""Vectors in their order, and their tokens where they are told."""


class Said:
    """A ProviderAnswer that is whole already, made of several answers, or the error that one of them was."""

    __slots__ = ("_body", "content_type", "retry_after", "status")

    def __init__(self, body: bytes, failed: WireAnswer | None = None) -> None:
        self._body = body
        self.status = failed.status if failed is not None else _OK
        self.content_type = failed.content_type if failed is not None else _JSON
        self.retry_after = failed.retry_after if failed is not None else b""

    async def whole(self) -> bytes:
        """The body."""
        return self._body

    async def events(self) -> bytes:
        """None: what is made of several answers is no stream."""
        return b""

    def close(self) -> None:
        """Nothing is held."""


async def gather(
    model: ExternalModel,
    embed: Embed,
    asks: Sequence[Callable[[], Awaitable[WireAnswer]]],
    read: Callable[[WireAnswer, bytes], Vectors],
) -> Said:
    """All vectors in their order, or the first error. `read` may raise msgspec.DecodeError; raises ProviderFailed."""
    vectors: list[list[float]] = []
    counts: list[int | None] = []
    for start in range(0, len(asks), AT_ONCE):
        for answer, body in await asyncio.gather(*(_whole(ask) for ask in asks[start : start + AT_ONCE])):
            if answer.status >= _ERROR:
                return Said(body, answer)
            try:
                found, tokens = read(answer, body)
            except (msgspec.DecodeError, UnicodeDecodeError):
                raise ProviderFailed(f"The answer of {who_is(model)} has not the shape of its API.") from None
            vectors += found
            counts.append(tokens)
    known = [count for count in counts if count is not None]
    return Said(embed.answer(model.name, vectors, sum(known) if len(known) == len(counts) else None))


async def _whole(ask: Callable[[], Awaitable[WireAnswer]]) -> tuple[WireAnswer, bytes]:
    answer = await ask()
    try:
        return answer, await answer.whole()
    finally:
        answer.close()
