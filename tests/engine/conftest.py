"""Servers with fake models."""

import pytest
from engine_fakes import FakeDecoder, FakeEncoder, byte_level, write_model
from engine_http import NO_END, serving

from penstock_engine.metrics import Metrics
from penstock_engine.service import About, EmbeddingService, Limits, Task, TextService, read_tokenizer


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"), byte_level())


@pytest.fixture
def open_text(model):
    """Makes a client of a server for a fake decoder."""

    def opened(decoder=None, task=Task.CHAT, folder=model, **limits):
        decoder = decoder or FakeDecoder(vocab_size=400, never=NO_END)
        tokenizer, template = read_tokenizer(folder)
        metrics = Metrics()
        service = TextService(
            About("fake", task, "FakeForCausalLM", 5, decoder.context_length),
            decoder=decoder,
            tokenizer=tokenizer,
            template=template,
            metrics=metrics,
            limits=Limits(**limits),
            on_fatal=lambda: None,
        )
        return serving(service, metrics)

    return opened


@pytest.fixture
async def client(open_text):
    async with open_text() as opened:
        yield opened


@pytest.fixture
async def embedder(model):
    encoder = FakeEncoder()
    tokenizer, _ = read_tokenizer(model)
    metrics = Metrics()
    service = EmbeddingService(
        About("bge", Task.EMBEDDINGS, "BertModel", 5, 32),
        encoder=encoder,
        tokenizer=tokenizer,
        vocab_size=400,
        metrics=metrics,
        limits=Limits(max_queue=40),
    )
    async with serving(service, metrics) as client:
        client.encoder = encoder
        yield client
