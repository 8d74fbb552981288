"""Cohere's Embed API, asked over real sockets."""

import base64
import struct

import pytest
from aiohttp import web
from vendor_calls import asked, call

from penstock.adapters.providers.cohere import Cohere
from penstock.adapters.providers.wire import Patience, Wire
from penstock.domain.errors import InvalidRequest, ProviderFailed
from penstock.domain.external_forms import ProviderKind
from penstock.domain.model import Task
from penstock.testing.clock import FakeClock


@pytest.fixture
async def provider():
    wire = Wire(Patience(), allow_private=True)
    yield Cohere(wire, FakeClock(), allow_private=True)
    await wire.close()


def embed(server, **body):
    fields = {"cohere_api_base": server.url}
    return call(ProviderKind.COHERE, "embed-v4.0", fields, {"cohere_api_key": "co-key"}, task=Task.EMBEDDINGS, **body)


async def test_embeddings_say_what_they_are_for(server, provider):
    meta = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 4}}
    server.answer({"id": "e1", "embeddings": {"float": [[0.5, 1], [2, 3]]}, "texts": ["a", "b"], "meta": meta})
    _, body = await asked(provider, embed(server, input=["a", "b"], encoding_format="base64"))
    [got] = server.got
    assert (got.path, got.headers["authorization"]) == ("/v2/embed", "Bearer co-key")
    assert got.json == {
        "model": "embed-v4.0",
        "embedding_types": ["float"],
        "input_type": "search_document",
        "texts": ["a", "b"],
    }
    assert [base64.b64decode(one["embedding"]) for one in body["data"]] == [
        struct.pack("<2f", 0.5, 1),
        struct.pack("<2f", 2, 3),
    ]
    assert body["usage"] == {"prompt_tokens": 4, "total_tokens": 4}
    one = embed(server, input="a", input_type="search_query", truncate="NONE", dimensions=256)
    await asked(provider, one)
    assert server.got[-1].json == {
        "model": "embed-v4.0",
        "embedding_types": ["float"],
        "input_type": "search_query",
        "truncate": "NONE",
        "texts": ["a"],
        "output_dimension": 256,
    }


async def test_many_texts_are_asked_in_parts(server, provider):
    async def handle(request):
        numbers = [int(text) for text in (await request.json())["texts"]]
        found = {"embeddings": {"float": [[number] for number in numbers]}}
        return web.json_response({**found, "meta": {"billed_units": {"input_tokens": len(numbers)}}})

    server.handlers.append(handle)
    _, body = await asked(provider, embed(server, input=[str(number) for number in range(200)]))
    assert sorted(len(got.json["texts"]) for got in server.got) == [8, 96, 96]
    assert [one["embedding"] for one in body["data"]] == [[number] for number in range(200)]
    assert body["usage"] == {"prompt_tokens": 200, "total_tokens": 200}


async def test_embeddings_of_another_kind_are_refused(server, provider):
    with pytest.raises(InvalidRequest, match="embedding_types must be"):
        await provider.open(embed(server, input="a", embedding_types=["int8"]))
    with pytest.raises(InvalidRequest, match=r"\$.input"):
        await provider.open(embed(server, input=[1, 2]))
    assert not server.got


async def test_embeddings_that_fail(server, provider):
    server.answer({"message": "too many"}, 429, retry_after="17")
    answer, body = await asked(provider, embed(server, input=["a"]))
    assert (answer.status, answer.retry_after, body) == (429, b"17", {"message": "too many"})
    server.handlers.clear()
    server.answer({"embeddings": {"int8": [[1]]}})
    with pytest.raises(ProviderFailed, match="has not the shape"):
        await provider.open(embed(server, input="a"))
