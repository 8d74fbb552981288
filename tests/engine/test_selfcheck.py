"""A model that gives wrong numbers does not become ready."""

import json

import numpy as np
import pytest
from tiny_models import write_model

from penstock_engine.build import build
from penstock_engine.errors import CheckpointError, SelfCheckFailed
from penstock_engine.loader import load_decoder
from penstock_engine.selfcheck import REFERENCE, check_decoder, check_encoder, read_reference
from penstock_engine.work import Precision, Work

KV_BYTES = 4 << 20


class Recipe:
    """A decoder and encoder whose answers a test decides."""

    block_size, num_blocks, vocab_size, context_length, dimensions = 32, 8, 50, 256, 4

    def __init__(self, answer):
        self.answer = answer

    def step(self, work):
        return np.stack([self.answer(each.past, each.tokens.size) for each in work])

    def embed(self, batch):
        return np.stack([self.answer(len(batch), text.size) for text in batch])


def test_what_depends_on_chunks_or_is_no_number_fails():
    row = np.arange(50, dtype=np.float32)
    check_decoder(Recipe(lambda *_: row), Precision.INT8)
    with pytest.raises(SelfCheckFailed, match="in two parts"):
        check_decoder(Recipe(lambda past, _: row if past else row[::-1]), Precision.INT8)
    with pytest.raises(SelfCheckFailed, match="not finite"):
        check_decoder(Recipe(lambda past, _: row * np.nan if past else row), Precision.INT8)


def test_what_depends_on_padding_fails():
    row = np.arange(4, dtype=np.float32)
    check_encoder(Recipe(lambda *_: row), Precision.BF16)
    with pytest.raises(SelfCheckFailed, match="beside a longer one"):
        check_encoder(Recipe(lambda count, _: row if count == 1 else row[::-1]), Precision.BF16)
    with pytest.raises(SelfCheckFailed, match="not finite"):
        check_encoder(Recipe(lambda *_: row + np.inf), Precision.BF16)


def reference_of(decoder, tokens, shift=0.0):
    row = decoder.step([Work(0, tokens, np.arange(4, dtype=np.int32), 1)])[0].astype(np.float64)
    logprobs = row - np.log(np.exp(row).sum())
    top = np.argsort(-logprobs)[:20]
    return {"tokens": tokens.tolist(), "top": [[int(each), float(logprobs[each]) + shift] for each in top]}


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("place", [".", "model"])
def test_reference_logits_are_compared(tmp_path, precision, place):
    write_model(tmp_path / "model")
    (tmp_path / "MLmodel").write_text("flavors: {}")
    exact = load_decoder(tmp_path, tmp_path / "cache", Precision.FP32, KV_BYTES, print)
    tokens = np.arange(30)
    path = tmp_path / place / REFERENCE
    path.write_text(json.dumps({"dtype": "float32", "prompts": [reference_of(exact, tokens)]}))
    lines = []
    load_decoder(tmp_path, tmp_path / "cache", precision, KV_BYTES, lines.append)
    assert f"log probabilities agree with {REFERENCE}" in lines
    wrong = reference_of(exact, tokens, shift=0.5)
    path.write_text(json.dumps({"dtype": "float32", "prompts": [reference_of(exact, tokens), wrong]}))
    with pytest.raises(SelfCheckFailed, match=r"prompt 1 of reference_logits.json .* differ by 0\.\d+ on average"):
        build(tmp_path, tmp_path / "cache", precision, print)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"prompts": 3}',
        '{"prompts": [{}]}',
        '{"prompts": [{"tokens": [], "top": [[1, -1.0]]}]}',
        '{"prompts": [{"tokens": [-1], "top": [[1, -1.0]]}]}',
        '{"prompts": [{"tokens": [1], "top": []}]}',
        '{"prompts": [{"tokens": [1], "top": [[1]]}]}',
        '{"prompts": [{"tokens": [1], "top": [[1, "x"]]}]}',
        '{"prompts": [{"tokens": [true], "top": [[1, -1.0]]}]}',
    ],
)
def test_a_damaged_reference_is_refused(tmp_path, content):
    (tmp_path / REFERENCE).write_text(content)
    with pytest.raises(CheckpointError, match=REFERENCE):
        read_reference(tmp_path / REFERENCE)


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ({"tokens": [400], "top": [[1, -1.0]]}, "outside of the vocabulary"),
        ({"tokens": [1], "top": [[400, -1.0]]}, "outside of the vocabulary"),
        ({"tokens": [1] * 300, "top": [[1, -1.0]]}, "longer than the context"),
    ],
)
def test_a_reference_for_another_model_is_refused(tmp_path, prompt, reason):
    write_model(tmp_path)
    (tmp_path / REFERENCE).write_text(json.dumps({"prompts": [prompt]}))
    with pytest.raises(CheckpointError, match=reason):
        load_decoder(tmp_path, tmp_path / "cache", Precision.FP32, KV_BYTES, print)
