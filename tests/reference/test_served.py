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


def words(marks=()):
    """A tokenizer as large as the vocabulary, each of whose tokens has bytes of its own; `marks` are tokens too."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    plain = [letter for letter in letters if letter.isascii() and letter.isalnum()]
    special = [*SPECIAL, *marks]
    pairs = list(itertools.product(plain, repeat=2))[: VOCAB - len(special) - len(letters)]
    tokens = [*special, *letters, *map("".join, pairs)]
    library = Tokenizer(models.BPE({token: number for number, token in enumerate(tokens)}, pairs))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    library.add_special_tokens(special)
    return library


def write_words(folder, library, template=None):
    library.save(str(folder / "tokenizer.json"))
    config = {"bos_token": "<s>", "eos_token": "</s>", "chat_template": template}
    config["tokenizer_class"] = "PreTrainedTokenizerFast"  # and not the one that most models of the type have
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


def post(client, path, headers=None, **body):
    answer = client.post(path, json={"model": "tiny", **body}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def speaking(family, folder, marks=()):
    """A model of the family that chats: (model, tokenizer, form)."""
    model, library = make(CASES[FAMILIES[family]], folder), words(marks)
    form = next(form for form in FORMS.values() if family in form.families)
    write_words(folder, library, form.source)
    return model, library, form


def chat(client, tokens_of):
    """The tokens of an answer, what it says of them, and the tokens of its prompt."""
    fields = {"temperature": 0, "max_tokens": STEPS, "ignore_eos": True, "logprobs": True, "top_logprobs": TOP}
    found = post(client, "/v1/chat/completions", messages=conversation("one"), **fields)
    choice, usage = found["choices"][0], found["usage"]
    entries = choice["logprobs"]["content"]
    assert usage["completion_tokens"] == STEPS
    # What a model thinks before it answers is told without them.
    assert len(entries) == STEPS - ((usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0)
    for entry in entries:
        best = [one["logprob"] for one in entry["top_logprobs"]]
        assert best == sorted(best, reverse=True)
        assert entry["logprob"] == best[0]
    # vLLM tells the bytes of what it could decode: of a part of a letter it is another's.
    tokens = choice.get("token_ids") or [tokens_of[bytes(entry["bytes"])] for entry in entries]
    return np.array(tokens, int), np.array([entry["logprob"] for entry in entries]), usage["prompt_tokens"]


def echoed(client, prompt):
    """Log probabilities of a prompt's tokens but the first, and of the likeliest one at each place."""
    found = post(client, "/v1/completions", prompt=prompt, echo=True, max_tokens=0, logprobs=TOP)
    choice = found["choices"][0]
    said = choice["logprobs"]
    assert said["token_logprobs"][0] is None
    if "prompt_logprobs" in choice:  # vLLM's: parts of letters look the same among its top_logprobs
        best = [max(one["logprob"] for one in top.values()) for top in choice["prompt_logprobs"][1:]]
    else:
        best = [max(top.values()) for top in said["top_logprobs"][1:]]
    return np.array(said["token_logprobs"][1:]), np.array(best)


def distances(client, model, library, form, *, exact):
    """How far log probabilities are from the reference's: those of a chat's answer, and of a text that is given."""
    asked_chat = library.encode(form.prompts["one"], add_special_tokens=False).ids
    (text,) = prompts((90,))
    rows = reference(model, text)
    answer, said, length = chat(client, ids_by_bytes(library))
    scores, best = echoed(client, text)
    assert length == len(asked_chat)
    if exact:
        tokens, logprobs = reference_greedy(model, asked_chat)
        assert answer.tolist() in ([], tokens)
        np.testing.assert_allclose(said, logprobs[: len(said)], atol=FARTHEST["fp32"])
    follows = reference(model, [*asked_chat, *answer.tolist()])[len(asked_chat) - 1 : -1]
    return np.abs(
        np.concatenate(
            [
                said - follows[np.arange(len(answer)), answer],
                scores - rows[np.arange(len(text) - 1), text[1:]],
                best - rows[:-1].max(-1),
            ]
        )
    )


def told(away):
    """A cell of the table."""
    return f"{away.mean():.1g} nats away, {away.max():.1g} at most"


@pytest.mark.parametrize("family", FAMILIES)
def test_log_probabilities_are_the_references(family, tmp_path, served, shown):
    model, library, form = speaking(family, tmp_path)
    for precision, farthest in FARTHEST.items():
        with served(tmp_path, precision) as client:
            away = distances(client, model, library, form, exact=precision == "fp32")
        assert away.mean() < farthest
        shown(family, f"CPU {precision}", "logprobs", told(away))


@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_per_second(family, tmp_path, served, shown):
    model, _, _ = speaking(family, tmp_path)
    for precision in FARTHEST:
        with served(tmp_path, precision) as client:
            rate = rates.completions(client, VOCAB)
        shown(family, f"CPU {precision}", "tokens/s", rates.told(rate, parameters(model)))


def parameters(model):
    return sum(value.numel() for value in model.parameters())


ENCODERS = {"BGE v1.5": (BertModel, BertConfig(**BERT)), "GTE v1.5": (GteModel, GteConfig(**GTE))}


def embedding(family, folder):
    """A model of vectors with words: (model, texts, vectors)."""
    model, texts = made(*ENCODERS[family], folder), asked()
    save_file(tensors_of(model), folder / "model.safetensors")
    write_words(folder, words())
    return model, texts, np.stack([states_of(model, text)[0] for text in texts])


def embedded(client, texts):
    return np.array([one["embedding"] for one in post(client, "/v1/embeddings", input=texts)["data"]])


@pytest.mark.parametrize("family", ENCODERS)
def test_embeddings_are_the_references(family, tmp_path, served):
    _, texts, vectors = embedding(family, tmp_path)
    for precision, least in LEAST.items():
        with served(tmp_path, precision, "embeddings") as client:
            assert cosines(embedded(client, texts), vectors).min() > least


@pytest.mark.parametrize("family", ENCODERS)
def test_tokens_per_second_of_embeddings(family, tmp_path, served, shown):
    model, _, _ = embedding(family, tmp_path)
    for precision in LEAST:
        with served(tmp_path, precision, "embeddings") as client:
            rate = rates.embeddings(client, BERT["vocab_size"])
        shown(family, f"CPU {precision}", "tokens/s", rates.told(rate, parameters(model)))
