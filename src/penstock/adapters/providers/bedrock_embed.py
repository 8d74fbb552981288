"""Embeddings in the words of the models that Amazon Bedrock hosts: Titan's, and Cohere's. Pure."""

from typing import Any

import msgspec
from msgspec import Struct

from penstock.adapters.providers.embed_request import Embed

INPUT_TYPE = "search_document"
"""What texts are for where the request does not say it in `input_type`, which Cohere wants."""
FAMILIES = frozenset({"amazon", "cohere"})


def requests_of(embed: Embed, vendor: str) -> list[dict[str, Any]]:
    """The bodies to send; Titan takes one text at a time."""
    if vendor == "cohere":
        body = {"input_type": INPUT_TYPE, **embed.extra, "texts": embed.texts}
        return [body | ({"output_dimension": embed.dimensions} if embed.dimensions is not None else {})]
    more = {"dimensions": embed.dimensions} if embed.dimensions is not None else {}
    return [{**embed.extra, **more, "inputText": text} for text in embed.texts]


class _Titan(Struct, rename="camel"):
    embedding: list[float]
    input_text_token_count: int | None = None


class _ByType(Struct):
    float: list[list[Any]]


class _Cohere(Struct):
    embeddings: list[list[float]] | _ByType


def read_answer(body: bytes, vendor: str) -> tuple[list[list[float]], int | None]:
    """The vectors of one body, and its tokens where it tells them. Raises msgspec.DecodeError for another shape."""
    if vendor == "cohere":
        found = msgspec.json.decode(body, type=_Cohere).embeddings
        return (found.float if isinstance(found, _ByType) else found), None
    titan = msgspec.json.decode(body, type=_Titan)
    return [titan.embedding], titan.input_text_token_count
