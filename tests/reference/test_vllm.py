"""A real vLLM, run and asked as the platform does it, against the reference implementation.

Skipped where PENSTOCK_VLLM_PYTHON names no interpreter that has vLLM; it may be one for CPUs. One process for each
family and precision stands all tests of them.
"""

import json
import re
from dataclasses import dataclass

import numpy as np
import pytest
import rates
from families import VOCAB, dbrx
from family_answers import CALL, HELD, check_call, check_held
from family_templates import conversation
from safetensors.numpy import save_file
from sentence_transformers import SentenceTransformer
from test_adapters import merged, written
from test_decoders import STEPS, prompts, reference_greedy
from test_encoders import BERT, LEAST, cosines, named_by_its_authors, own_config, tensors_of
from test_minilm import FAMILY as MINILM
from test_minilm import LEAST as LEAST_OF_MINILM
from test_minilm import TEXTS, WORDS, packaged
from test_served import (
    FAMILIES,
    FARTHEST,
    distances,
    embedded,
    embedding,
    parameters,
    post,
    reference,
    speaking,
    told,
)

REFUSED = ("MPT", "DBRX")
SERVED = [family for family in FAMILIES if family not in REFUSED]
RUNS = [(family, precision) for family in SERVED for precision in ("bf16", "fp32")]
"""Adapters are served in fp32, where they can be compared exactly; without room for any the other is measured."""
CALLING = {"Llama 3.1, 3.2, 3.3": "<|python_tag|>", "DeepSeek-R1 distills (Llama)": "<|python_tag|>"}
CALLING |= {"Mistral": "[TOOL_CALLS]", "Mixtral": "[TOOL_CALLS]"}
"""Tokens that the families' newest tokenizers have for calls of tools, without which vLLM takes no parser of calls."""
PARSED = (*CALLING, "DeepSeek-R1 distills (Qwen2)")
"""Families for whose calls of tools there is a parser."""
LOOSE = ("Llama 3.1, 3.2, 3.3", "DeepSeek-R1 distills (Llama)")
"""In Llama's way to write a call vLLM lets text follow; random weights write on, and it tells the call as text then."""
UNADAPTED = ("Mixtral",)
"""On CPUs: with room for adapters, what vLLM does with experts needs Triton, and it dies of the first request."""
ROOM = {"max_tokens": 1500}
"""For what is held to a form: random weights write long numbers, and vLLM does not bring them to an end in time."""
LIKELIEST = 20
"""What vLLM tells at most of each place."""


@dataclass
class Running:
    family: str
    precision: str
    client: object
    direct: object
    model: object
    library: object
    form: object
    adapters: dict

    @property
    def exact(self):
        return self.precision == "fp32"

    @property
    def engine(self):
        return f"vLLM {self.precision}"


@pytest.fixture(scope="module", params=RUNS, ids="-".join)
def running(request, vllm, tmp_path_factory):
    family, precision = request.param
    folder = tmp_path_factory.mktemp("served")
    model, library, form = speaking(family, folder / "base", [CALLING[family]] if family in CALLING else [])
    adapted = precision == "fp32" and family not in UNADAPTED
    adapters = written(folder, model, experts=False) if adapted else {}
    places = {name: str(folder / name) for name in adapters}
    with vllm(folder / "base", precision, adapters=places) as (client, direct):
        yield Running(family, precision, client, direct, model, library, form, adapters)


def greedy(client, prompt, **headers):
    fields = {"prompt": prompt, "temperature": 0, "max_tokens": STEPS, "ignore_eos": True, "logprobs": 1}
    (choice,) = post(client, "/v1/completions", headers=headers, **fields)["choices"]
    return choice["token_ids"], choice["logprobs"]["token_logprobs"]


def likeliest(client, prompt):
    """(tokens, log probabilities) of what may follow each token of the prompt but the last."""
    (choice,) = post(client, "/v1/completions", prompt=prompt, echo=True, max_tokens=0, logprobs=LIKELIEST)["choices"]
    first, *others = choice["prompt_logprobs"]
    assert first is None
    for place in others:
        yield np.array([int(token) for token in place]), np.array([one["logprob"] for one in place.values()])


def test_decoder_equals_the_reference(running, shown):
    away, same = [], []
    for prompt in prompts():
        rows = reference(running.model, prompt)[:-1]
        for row, (tokens, said) in zip(rows, likeliest(running.client, prompt), strict=True):
            away.append(np.abs(said - row[tokens]))
            same.append(tokens[said.argmax()] == row.argmax())
        if running.exact:
            tokens, logprobs = reference_greedy(running.model, prompt)
            answer, said = greedy(running.client, prompt)
            assert answer == tokens
            np.testing.assert_allclose(said, logprobs, atol=FARTHEST["fp32"])
            away.append(np.abs(np.array(said) - logprobs))
    away, share = np.concatenate(away), np.mean(same)
    if running.exact:
        assert away.max() < FARTHEST["fp32"]
        cell = f"same tokens, log probabilities within {away.max():.0e}"
    else:
        assert away.mean() < FARTHEST["bf16"]
        assert share > 0.9
        cell = f"same likeliest token at {share:.1%} of places, log probabilities {away.mean():.1g} nats away"
    shown(running.family, running.engine, "equals reference", cell)


def test_prompts_of_chats_equal_the_references(running, shown):
    for name, text in running.form.prompts.items():
        found = post(running.client, "/v1/chat/completions", messages=conversation(name), max_tokens=1)
        assert found["prompt_token_ids"] == running.library.encode(text, add_special_tokens=False).ids
    for messages in running.form.refused:
        body = {"model": "tiny", "messages": messages, "max_tokens": 1}
        assert running.client.post("/v1/chat/completions", json=body).status_code == 400
    shown(running.family, running.engine, "chat", "prompts equal")


def test_tools_are_called_where_there_is_a_parser(running, shown):
    if running.family in PARSED:
        (freely,) = post(running.client, "/v1/chat/completions", **CALL | ROOM | {"tool_choice": "auto"})["choices"]
        assert freely["message"]["content"]
        cell = "`auto`; text may follow a required call"
        if running.family not in LOOSE:
            check_call(post(running.client, "/v1/chat/completions", **CALL | ROOM)["choices"][0])
            cell = "called, validated"
        shown(running.family, running.engine, "tools", cell)
        return
    for choice in ("required", "auto"):
        body = {"model": "tiny", **CALL, "tool_choice": choice}
        answer = running.client.post("/v1/chat/completions", json=body)
        assert answer.status_code == 400
        assert "--tool-call-parser" in answer.json()["message"]
    shown(running.family, running.engine, "tools", "refused: no parser")


def test_an_answer_is_held_to_a_form(running, shown):
    check_held(post(running.client, "/v1/chat/completions", **HELD | ROOM)["choices"][0])
    shown(running.family, running.engine, "JSON", "validated")


def test_log_probabilities_are_the_references(running, shown):
    away = distances(running.client, running.model, running.library, running.form, exact=running.exact)
    assert away.mean() < FARTHEST[running.precision]
    shown(running.family, running.engine, "logprobs", told(away))


def test_adapters_equal_the_reference_with_them_merged(running, shown):
    if not running.adapters:
        pytest.skip("adapters are compared in fp32")
    for adapter, prompt in merged(running.model, running.adapters):
        tokens, logprobs = reference_greedy(running.model, prompt)
        answer, said = greedy(running.client, prompt, **({"x-adapter": adapter} if adapter else {}))
        assert answer == tokens
        np.testing.assert_allclose(said, logprobs, atol=FARTHEST["fp32"])
    shown(running.family, running.engine, "LoRA", "same tokens as merged, several at a time")


def test_tokens_per_second(running, shown):
    if running.adapters:
        pytest.skip("measured without room for adapters")
    for _ in range(2):  # the first ones are slower
        rate = rates.completions(running.direct, VOCAB)
    shown(running.family, running.engine, "tokens/s", rates.told(rate, parameters(running.model)))


@dataclass
class Embedding:
    family: str
    precision: str
    direct: object
    parameters: int
    found: np.ndarray
    vectors: np.ndarray
    least: float
    words: int
    about: str


@pytest.fixture(scope="module", params=[(f, p) for f in ("BGE v1.5", MINILM) for p in ("bf16", "fp32")], ids="-".join)
def embedder(request, vllm, tmp_path_factory):
    family, precision = request.param
    if family == MINILM:
        folder, about = packaged(), ", real weights"
        model = SentenceTransformer(str(folder), device="cpu")
        texts, vectors, least, words = TEXTS, model.encode(TEXTS), LEAST_OF_MINILM[precision], WORDS
    else:
        folder, about = tmp_path_factory.mktemp("embedder"), ""
        model, texts, vectors = embedding(family, folder)
        least, words = LEAST[precision], BERT["vocab_size"]
    with vllm(folder, precision, "embeddings") as (client, direct):
        found = embedded(client, texts)
        yield Embedding(family, precision, direct, parameters(model), found, vectors, least, words, about)


def test_vectors_are_the_references(embedder, shown):
    cosine = cosines(embedder.found, embedder.vectors).min()
    assert cosine > embedder.least
    assert np.linalg.norm(embedder.found, axis=-1) == pytest.approx(1, abs=1e-5)
    cell = f"cosine {cosine:.6f}{embedder.about}"
    shown(embedder.family, f"vLLM {embedder.precision}", "equals reference", cell)


def test_tokens_per_second_of_vectors(embedder, shown):
    for _ in range(2):  # the first ones are slower
        rate = rates.embeddings(embedder.direct, embedder.words)
    shown(embedder.family, f"vLLM {embedder.precision}", "tokens/s", rates.told(rate, embedder.parameters))


def write_dbrx(folder):
    """With the fields that its authors wrote, and none that transformers adds and reads no more."""
    speaking("DBRX", folder)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for part, fields in dbrx(5e5, 8, 4, 0.5).items():
        if part in ("attn_config", "ffn_config"):
            config[part] = fields
    path.write_text(json.dumps(config))


def write_gte(folder):
    """As its authors store it, without the code beside it."""
    model, _, _ = embedding("GTE v1.5", folder)
    save_file(named_by_its_authors(tensors_of(model), "new."), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(own_config(500_000)))


UNSERVED = {
    "MPT": (lambda folder: speaking("MPT", folder), "was supported in vLLM until v0.28"),
    "DBRX": (write_dbrx, "w13_weight"),
    "GTE v1.5": (write_gte, "trust_remote_code=True"),
    "GTE v1.5 of transformers": (lambda folder: embedding("GTE v1.5", folder), "position_embedding_type"),
}


@pytest.mark.parametrize("family", UNSERVED)
def test_what_the_launch_plan_refuses_vllm_does_not_serve(family, vllm, tmp_path):
    """Seen with 0.32. What does start is no reason to refuse it any more."""
    write, why = UNSERVED[family]
    write(tmp_path)
    task = "embeddings" if "GTE" in family else "chat"
    with pytest.raises(AssertionError, match=re.escape(why)), vllm(tmp_path, "fp32", task, refused=True):
        pass
