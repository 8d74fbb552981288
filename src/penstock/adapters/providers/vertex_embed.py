"""Embeddings in the words of Vertex AI: predict, and embedContent for the newer models. Pure."""

from typing import Any

import msgspec
from msgspec import Struct

from penstock.adapters.providers.embed_request import Embed

_ONE_BY_ONE = "gemini-embedding-001"


def operation_of(model: str) -> str:
    """How the model is asked."""
    return "embedContent" if model.startswith("gemini-") and model != _ONE_BY_ONE else "predict"


def requests_of(embed: Embed, model: str) -> list[dict[str, Any]]:
    """The bodies to send; Gemini's models take one text at a time. What is not known is said of each text."""
    size = {"outputDimensionality": embed.dimensions} if embed.dimensions is not None else {}
    if operation_of(model) == "embedContent":
        return [{**embed.extra, **size, "content": {"parts": [{"text": text}]}} for text in embed.texts]
    parameters = embed.extra.pop("parameters", None)
    more = (
        {"parameters": {**(parameters if isinstance(parameters, dict) else {}), **size}} if size or parameters else {}
    )
    instances = [{**embed.extra, "content": text} for text in embed.texts]
    if model == _ONE_BY_ONE:
        return [{"instances": [one], **more} for one in instances]
    return [{"instances": instances, **more}]


class _Statistics(Struct):
    token_count: float | None = None


class _Vector(Struct):
    values: list[float]
    statistics: _Statistics | None = None


class _Prediction(Struct):
    embeddings: _Vector


class _Predicted(Struct):
    predictions: list[_Prediction]


class _Usage(Struct, rename="camel"):
    prompt_token_count: int | None = None


class _Embedded(Struct, rename="camel"):
    embedding: _Vector
    usage_metadata: _Usage | None = None


def read_answer(body: bytes, model: str) -> tuple[list[list[float]], int | None]:
    """The vectors of one body, and its tokens where it tells them. Raises msgspec.DecodeError for another shape."""
    if operation_of(model) == "embedContent":
        one = msgspec.json.decode(body, type=_Embedded)
        return [one.embedding.values], one.usage_metadata.prompt_token_count if one.usage_metadata is not None else None
    found = [one.embeddings for one in msgspec.json.decode(body, type=_Predicted).predictions]
    counts = [
        int(one.statistics.token_count) for one in found if one.statistics and one.statistics.token_count is not None
    ]
    return [one.values for one in found], sum(counts) if len(counts) == len(found) else None
