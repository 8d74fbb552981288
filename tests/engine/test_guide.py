"""The guide, in the engine's own arithmetic: what it was trained to answer, it answers, with 8-bit weights too."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from penstock_engine.chat_template import ChatTemplate
from penstock_engine.loader import load_decoder
from penstock_engine.work import Precision, Work

GUIDE = Path(__file__).parents[2] / "examples" / "guide"
MODEL = GUIDE / "model"
MEGABYTE = 1 << 20


def load(name):
    spec = importlib.util.spec_from_file_location(f"guide_{name}", GUIDE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def facts():
    return load("corpus").read_facts()


@pytest.fixture(scope="module")
def answers_exactly(tmp_path_factory):
    """Whether the model's most likely token is the right one at each place of an answer."""
    ids = Tokenizer.from_file(str(MODEL / "tokenizer.json")).encode
    decoder = load_decoder(MODEL, tmp_path_factory.mktemp("cache"), Precision.INT8, 8 * MEGABYTE, lambda _: None)

    template = ChatTemplate(
        (MODEL / "chat_template.jinja").read_text(), {"bos_token": "<|begin|>", "eos_token": "<|end|>"}
    )

    def check(question, answer):
        prompt = ids(template.render([{"role": "user", "content": question}]), add_special_tokens=False).ids
        wanted = np.array(ids(f"{answer}<|end|>", add_special_tokens=False).ids)
        tokens = np.concatenate([np.array(prompt), wanted[:-1]])
        blocks = np.arange(-(-tokens.size // decoder.block_size), dtype=np.int32)
        rows = decoder.step([Work(0, tokens, blocks, wanted.size)])
        return bool((rows.argmax(-1) == wanted).all())

    return check


def test_everything_it_was_trained_on_is_answered_exactly(facts, answers_exactly):
    asked = [(question, fact.answer) for fact in facts for question in fact.asked]
    wrong = [question for question, answer in asked if not answers_exactly(question, answer)]
    assert len(asked) > 1000
    assert len(wrong) <= 0.01 * len(asked), wrong


def test_most_questions_that_it_never_saw_are_answered_exactly(facts, answers_exactly):
    held_out = [(question, fact.answer) for fact in facts for question in fact.held_out]
    wrong = [question for question, answer in held_out if not answers_exactly(question, answer)]
    assert len(wrong) <= 0.25 * len(held_out), wrong


def test_the_first_question_of_the_demo(facts, answers_exactly):
    fact = next(fact for fact in facts if fact.name == "provisioned-throughput")
    for question in ("What is provisioned throughput?", "what is provisioned throughput", "Provisioned throughput?"):
        assert answers_exactly(question, fact.answer), question


def test_no_question_leads_to_two_answers_and_none_is_both_trained_and_held_out(facts):
    plain = sys.modules["guide_corpus"].plain
    owners = {}
    for fact in facts:
        for question in {plain(each) for each in fact.asked} | {plain(each) for each in fact.held_out}:
            assert owners.setdefault(question, fact.name) == fact.name, question
        assert not {plain(each) for each in fact.asked} & {plain(each) for each in fact.held_out}, fact.name


def test_what_is_committed_is_small_and_complete():
    names = {path.name for path in MODEL.iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"} <= names
    assert sum(path.stat().st_size for path in MODEL.iterdir()) < 6e6
    reference = json.loads((MODEL / "reference_logits.json").read_text())
    assert [len(prompt["top"]) for prompt in reference["prompts"]] == [20, 20, 20]
