"""Embeddings in the words of the models that Amazon Bedrock hosts: Titan's, and Cohere's. Pure."""

from typing import Any

import msgspec
from msgspec import Struct

from penstock.adapters.providers import cohere_embed
from penstock.adapters.providers.embed_request import Embed

FAMILIES = frozenset({"amazon", "cohere"})


def requests_of(embed: Embed, vendor: str) -> list[dict[str, Any]]:
    """The bodies to send; Titan takes one text at a time."""
    if vendor == "cohere":
        return cohere_embed.bodies_of(embed)
    more = {"dimensions": embed.dimensions} if embed.dimensions is not None else {}
    return [{**embed.extra, **more, "inputText": text} for text in embed.texts]


class _Titan(Struct, rename="camel"):
    embedding: list[float]
    input_text_token_count: int | None = None


def read_answer(body: bytes, vendor: str) -> tuple[list[list[float]], int | None]:
    """The vectors of one body, and its tokens where it tells them. Raises msgspec.DecodeError for another shape."""
    if vendor == "cohere":
        return cohere_embed.read_answer(body)
    titan = msgspec.json.decode(body, type=_Titan)
    return [titan.embedding], titan.input_text_token_count
