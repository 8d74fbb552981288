"""Every family asked over HTTP, as the platform asks it: what its log probabilities are, and how fast it was."""

import itertools
import json

import numpy as np
import pytest
import rates
import torch
from families import CASES, VOCAB, make
from family_templates import FORMS, conversation
from safetensors.numpy import save_file
from test_decoders import STEPS, prompts, reference_greedy, reference_rows
from test_encoders import BERT, GTE, LEAST, asked, cosines, made, states_of, tensors_of
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import BertConfig, BertModel, GteConfig, GteModel

FAMILIES = {case.family: name for name, case in reversed(CASES.items())}
"""The first case of each."""
SPECIAL = ["<s>", "</s>", "<pad>"]
TOP = 5
FARTHEST = {"fp32": 3e-5, "bf16": 0.05, "int8": 0.2}
"""How far log probabilities may be from the reference's, on the average of all tokens."""


def words():
    """A tokenizer as large as the vocabulary, each of whose tokens has bytes of its own."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    plain = [letter for letter in letters if letter.isascii() and letter.isalnum()]
    pairs = list(itertools.product(plain, repeat=2))[: VOCAB - len(SPECIAL) - len(letters)]
    tokens = [*SPECIAL, *letters, *map("".join, pairs)]
    library = Tokenizer(models.BPE({token: number for number, token in enumerate(tokens)}, pairs))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    library.add_special_tokens(SPECIAL)
    return library


def write_words(folder, library, template=None):
    library.save(str(folder / "tokenizer.json"))
    config = {"bos_token": "<s>", "eos_token": "</s>", "chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps({key: value for key, value in config.items() if value}))


def ids_by_bytes(library):
    """Tokens by what log probabilities show of them."""
    spelled = {letter: byte for byte, letter in _letters().items()}
    return {
        bytes(token.encode() if token in SPECIAL else bytes(spelled[letter] for letter in token)): number
        for token, number in library.get_vocab().items()
    }


def _letters():
    """How byte-level tokenizers write bytes: printable ones as they are, the others by letters above."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(0x100) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(0x100 + at) for at, byte in enumerate(rest)}


def reference(model, tokens):
    """[T, vocabulary]: log probabilities of what follows each token."""
    return torch.log_softmax(torch.from_numpy(reference_rows(model, tokens)), -1).numpy()


def post(client, path, **body):
    answer = client.post(path, json={"model": "tiny", **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def chat(client, tokens_of):
    """The tokens of an answer, what it says of them, and the tokens of its prompt."""
    fields = {"temperature": 0, "max_tokens": STEPS, "ignore_eos": True, "logprobs": True, "top_logprobs": TOP}
    found = post(client, "/v1/chat/completions", messages=conversation("one"), **fields)
    entries = found["choices"][0]["logprobs"]["content"]
    usage = found["usage"]
    assert usage["completion_tokens"] == STEPS
    # What a model thinks before it answers is told without them.
    assert len(entries) == STEPS - usage.get("completion_tokens_details", {}).get("reasoning_tokens", 0)
    for entry in entries:
        best = [one["logprob"] for one in entry["top_logprobs"]]
        assert best == sorted(best, reverse=True)
        assert entry["logprob"] == best[0]
    tokens = np.array([tokens_of[bytes(entry["bytes"])] for entry in entries], int)
    return tokens, np.array([entry["logprob"] for entry in entries]), usage["prompt_tokens"]


def echoed(client, prompt):
    """Log probabilities of a prompt's tokens but the first, and of the likeliest one at each place."""
    found = post(client, "/v1/completions", prompt=prompt, echo=True, max_tokens=0, logprobs=TOP)
    told = found["choices"][0]["logprobs"]
    assert told["token_logprobs"][0] is None
    best = [max(top.values()) for top in told["top_logprobs"][1:]]
    return np.array(told["token_logprobs"][1:]), np.array(best)


@pytest.mark.parametrize("family", FAMILIES)
def test_log_probabilities_are_the_references(family, tmp_path, served, shown):
    case = CASES[FAMILIES[family]]
    model, library = make(case, tmp_path), words()
    form = next(form for form in FORMS.values() if family in form.families)
    write_words(tmp_path, library, form.source)
    asked_chat = library.encode(form.prompts["one"], add_special_tokens=False).ids
    (text,) = prompts((90,))
    rows = reference(model, text)
    tokens_of = ids_by_bytes(library)
    for precision, farthest in FARTHEST.items():
        with served(tmp_path, precision) as client:
            answer, said, length = chat(client, tokens_of)
            scores, best = echoed(client, text)
            rate = rates.completions(client, VOCAB)
        assert length == len(asked_chat)
        if precision == "fp32":
            tokens, logprobs = reference_greedy(model, asked_chat)
            assert answer.tolist() in ([], tokens)
            np.testing.assert_allclose(said, logprobs[: len(said)], atol=farthest)
        follows = reference(model, [*asked_chat, *answer.tolist()])[len(asked_chat) - 1 : -1]
        away = np.abs(
            np.concatenate(
                [
                    said - follows[np.arange(len(answer)), answer],
                    scores - rows[np.arange(len(text) - 1), text[1:]],
                    best - rows[:-1].max(-1),
                ]
            )
        )
        assert away.mean() < farthest
        shown(family, f"CPU {precision}", "logprobs", f"{away.mean():.1g} nats away, {away.max():.1g} at most")
        parameters = sum(value.numel() for value in model.parameters())
        shown(family, f"CPU {precision}", "tokens/s", rates.told(rate, parameters))


ENCODERS = {"BGE v1.5": (BertModel, BertConfig(**BERT)), "GTE v1.5": (GteModel, GteConfig(**GTE))}


@pytest.mark.parametrize("family", ENCODERS)
def test_embeddings_are_the_references(family, tmp_path, served, shown):
    model, texts = made(*ENCODERS[family], tmp_path), asked()
    save_file(tensors_of(model), tmp_path / "model.safetensors")
    write_words(tmp_path, words())
    vectors = np.stack([states_of(model, text)[0] for text in texts])
    parameters = sum(value.numel() for value in model.parameters())
    for precision, least in LEAST.items():
        with served(tmp_path, precision, "embeddings") as client:
            found = post(client, "/v1/embeddings", input=texts)
            rate = rates.embeddings(client, BERT["vocab_size"])
        answers = np.array([one["embedding"] for one in found["data"]])
        assert cosines(answers, vectors).min() > least
        shown(family, f"CPU {precision}", "tokens/s", rates.told(rate, parameters))
