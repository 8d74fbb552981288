"""Embeddings in the words of Cohere's models, of its own API and where others host them. Pure."""

from typing import Any

import msgspec
from msgspec import Struct

from penstock.adapters.providers.embed_request import Embed
from penstock.domain.errors import InvalidRequest

INPUT_TYPE = "search_document"
"""What texts are for where the request does not say it in `input_type`, which Cohere wants."""
MOST_TEXTS = 96
"""In one request."""
_TYPES = ["float"]


def bodies_of(embed: Embed) -> list[dict[str, Any]]:
    """What is said wherever the model is hosted: texts, what they are for, and how long vectors are."""
    if embed.extra.get("embedding_types", _TYPES) != _TYPES:
        raise InvalidRequest('embedding_types must be ["float"]: an answer has one vector for each input.')
    size = {"output_dimension": embed.dimensions} if embed.dimensions is not None else {}
    starts = range(0, max(len(embed.texts), 1), MOST_TEXTS)
    return [
        {"input_type": INPUT_TYPE, **embed.extra, "texts": embed.texts[start : start + MOST_TEXTS], **size}
        for start in starts
    ]


def requests_of(embed: Embed, model: str) -> list[dict[str, Any]]:
    """The bodies to send to Cohere itself."""
    return [{"model": model, "embedding_types": _TYPES, **body} for body in bodies_of(embed)]


class _ByType(Struct):
    float: list[list[Any]]


class _Billed(Struct):
    input_tokens: float | None = None


class _Meta(Struct):
    billed_units: _Billed | None = None


class _Answer(Struct):
    embeddings: list[list[float]] | _ByType
    meta: _Meta | None = None


def read_answer(body: bytes) -> tuple[list[list[float]], int | None]:
    """The vectors of one body, and its tokens where it tells them. Raises msgspec.DecodeError for another shape."""
    answer = msgspec.json.decode(body, type=_Answer)
    found = answer.embeddings
    billed = answer.meta.billed_units if answer.meta is not None else None
    tokens = billed.input_tokens if billed is not None else None
    return (found.float if isinstance(found, _ByType) else found), int(tokens) if tokens is not None else None
