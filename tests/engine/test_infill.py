"""Gaps are asked for in the tokens that each family was trained with."""

import numpy as np
import pytest
from engine_fakes import byte_level, write_model

from penstock_engine.infill import Infill
from penstock_engine.refusal import BadRequest
from penstock_engine.service import read_tokenizer

SPACE = "\N{LOWER ONE EIGHTH BLOCK}"
PARTS = ("prefix", "suffix", "middle")
CODE_LLAMA = tuple(f"{SPACE}<{word}>" for word in ("PRE", "SUF", "MID", "EOT"))


def infill(folder, *special):
    made = byte_level()
    made.add_special_tokens(list(special))
    tokenizer, _ = read_tokenizer(write_model(folder, made))
    return tokenizer, Infill(tokenizer)


def names(tokenizer, prompt):
    return [tokenizer.piece(int(token)).decode() for token in prompt]


@pytest.mark.parametrize(
    ("special", "wanted"),
    [
        (("<fim_prefix>", "<fim_suffix>", "<fim_middle>"), "<s> <fim_prefix> a <fim_suffix> b <fim_middle>"),
        (tuple(f"<|fim_{part}|>" for part in PARTS), "<s> <|fim_prefix|> a <|fim_suffix|> b <|fim_middle|>"),
        (CODE_LLAMA, f"<s> {SPACE}<PRE> a {SPACE}<SUF> b {SPACE}<MID>"),
        (("[PREFIX]", "[SUFFIX]"), "<s> [SUFFIX] b [PREFIX] a"),
    ],
)  # fmt: skip
def test_the_parts_are_in_the_familys_order(tmp_path, special, wanted):
    tokenizer, filler = infill(tmp_path, *special)
    prompt = filler.prompt(tokenizer.encode("a", special=True), "b")
    assert names(tokenizer, prompt) == wanted.split(" ")
    assert filler.ends == ({tokenizer.id_of(f"{SPACE}<EOT>")} if len(special) == 4 else set())


def test_a_prompt_of_tokens_without_a_begin_token(tmp_path):
    tokenizer, filler = infill(tmp_path, "[PREFIX]", "[SUFFIX]")
    prompt = filler.prompt(tokenizer.encode("a", special=False), "b")
    assert names(tokenizer, prompt) == ["[SUFFIX]", "b", "[PREFIX]", "a"]


def test_a_model_that_knows_no_gaps_says_so(tmp_path):
    _, filler = infill(tmp_path, "<fim_prefix>", "<fim_middle>")
    with pytest.raises(BadRequest, match='"suffix" is not supported by this model'):
        filler.prompt(np.array([7], np.int64), "b")
    assert filler.ends == frozenset()
