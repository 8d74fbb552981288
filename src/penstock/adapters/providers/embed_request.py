"""A request for embeddings of OpenAI's shape, read so that it can be said in other words, and its answer."""

import base64
from array import array
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from penstock.adapters.providers.asking import OURS
from penstock.adapters.providers.chat_request import read_object
from penstock.domain.errors import InvalidRequest

_DROPPED = frozenset({*OURS, "model", "user", "stream", "stream_options", "input", "dimensions", "encoding_format"})


class Embed(Struct):
    """The request; `extra` has the fields that are not named here, without null."""

    input: str | list[str]
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] | None = None
    extra: dict[str, Any] = {}

    @property
    def texts(self) -> list[str]:
        """The inputs."""
        return [self.input] if isinstance(self.input, str) else self.input

    def answer(self, model: str, vectors: Sequence[Sequence[float]], tokens: int | None) -> bytes:
        """A whole answer: vectors in the order of the inputs, as numbers or base64; usage where tokens are known."""
        encode = _base64 if self.encoding_format == "base64" else list
        data = [{"object": "embedding", "index": place, "embedding": encode(one)} for place, one in enumerate(vectors)]
        found: dict[str, Any] = {"object": "list", "model": model, "data": data}
        if tokens is not None:
            found["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
        return msgspec.json.encode(found)


def read_embed(body: bytes) -> Embed:
    """The request in a body. Raises InvalidRequest naming the field that has another shape: inputs are texts."""
    fields = read_object(body)
    named = {name: fields[name] for name in ("input", "dimensions", "encoding_format") if name in fields}
    try:
        embed = msgspec.convert(named, Embed)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"The request cannot be translated for its provider: {error}.") from None
    embed.extra = {name: value for name, value in fields.items() if name not in _DROPPED and value is not None}
    return embed


def _base64(vector: Sequence[float]) -> str:
    """32-bit floats, as OpenAI's clients read them."""
    return base64.b64encode(array("f", vector).tobytes()).decode()
