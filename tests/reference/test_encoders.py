"""Encoders against the reference implementation."""

import random

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

PROMPT_LENGTHS = (1, 7, 40, 128)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """A small random BERT, and the normalised first states that the reference gives for its prompts."""
    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        vocab_size=1000,
        initializer_range=0.1,
        max_position_embeddings=128,
    )
    model = BertModel(config).eval()
    for name, value in model.named_parameters():
        if name.endswith("bias") or "LayerNorm" in name:  # made as 0 and 1, which would hide a mistake
            torch.nn.init.normal_(value, 1.0 if name.endswith("LayerNorm.weight") else 0.0, 0.2)
    model.save_pretrained(folder)
    numbers = random.Random(3)
    prompts = [[numbers.randrange(5, 1000) for _ in range(length)] for length in PROMPT_LENGTHS]
    with torch.no_grad():
        states = [model(torch.tensor([prompt])).last_hidden_state[0, 0] for prompt in prompts]
    return folder, prompts, torch.nn.functional.normalize(torch.stack(states), dim=-1).numpy()


def test_bert_equals_the_reference(bert, engine):
    folder, prompts, vectors = bert
    found = engine(folder, prompts, kind="encoder")
    for precision, least in (("fp32", 0.999999), ("bf16", 0.9995), ("int8", 0.998)):
        for way in ("padded", "single"):
            assert np.linalg.norm(found[precision][way], axis=-1) == pytest.approx(1, abs=1e-6)
            assert (found[precision][way] * vectors).sum(-1).min() > least
