"""Encoders against the reference implementation."""

import json
import random
import shutil

import numpy as np
import plain
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import BertConfig, BertModel, GteConfig, GteModel

PROMPT_LENGTHS = (1, 7, 40, 128)
SIZES = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "vocab_size": 1000,
    "initializer_range": 0.1,
}
BERT = SIZES | {"max_position_embeddings": 128}
GTE = SIZES | {"max_position_embeddings": 8192, "type_vocab_size": 2, "rope_parameters": {"rope_type": "default"}}
LEAST = {"fp32": 0.999999, "bf16": 0.9995, "int8": 0.998}
PUBLISHED = {
    "base": {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072},
    "large": {"hidden_size": 1024, "num_attention_heads": 16, "intermediate_size": 4096},
}
"""The widths of BGE v1.5 and of GTE v1.5."""
GTES = {
    "base": {"rope_theta": 500_000, "type_vocab_size": 0},
    "large": {"rope_theta": 160_000, "type_vocab_size": 2},
}
FEWER = {"num_hidden_layers": 2, "initializer_range": 0.035}
"""Of their 12 and 24 layers."""


def made(kind, config, folder):
    torch.manual_seed(0)
    model = kind(config).eval()
    for name, value in model.named_parameters():
        if value.dim() == 1:  # norms and biases, made as 1 and 0, which would hide a mistake
            torch.nn.init.normal_(value, 1.0 if name.endswith("weight") else 0.0, 0.2)
    model.save_pretrained(folder)
    return model


def asked(lengths=PROMPT_LENGTHS, vocabulary=1000):
    numbers = random.Random(3)
    return [[numbers.randrange(5, vocabulary) for _ in range(length)] for length in lengths]


@torch.no_grad()
def states_of(model, prompt):
    return model(torch.tensor([prompt])).last_hidden_state[0].numpy()


def tensors_of(model):
    return {name: value.numpy() for name, value in model.state_dict().items() if "inv_freq" not in name}


def cosines(one, other):
    return (one * other).sum(-1) / (np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1))


@pytest.fixture(scope="module")
def tally(shown):
    """The cosines of a family's cases, of which the least is told at the end: {family: {precision: [cosine, ...]}}."""
    found = {}
    yield found
    for family, by in found.items():
        for precision, seen in by.items():
            shown(family, f"CPU {precision}", "equals reference", f"cosine {min(seen):.6f}")


def compare(found, vectors, seen=None):
    """`seen`: a family's part of the tally."""
    for precision, least in LEAST.items():
        for way in ("padded", "single"):
            assert cosines(found[precision][way], vectors).min() > least
        if seen is not None:
            seen.setdefault(precision, []).append(cosines(found[precision]["padded"], vectors).min())


@pytest.mark.parametrize("prefix", ["", "bert."])
def test_bge_equals_the_reference(tmp_path, engine, tally, prefix):
    """The first token's last state, of length 1."""
    model, prompts = made(BertModel, BertConfig(**BERT), tmp_path), asked()
    tensors = load_file(tmp_path / "model.safetensors")
    save_file({prefix + name: tensor for name, tensor in tensors.items()}, tmp_path / "model.safetensors")
    vectors = np.stack([states_of(model, prompt)[0] for prompt in prompts])
    found = engine(tmp_path, prompts, kind="encoder")
    compare(found, vectors, tally.setdefault("BGE v1.5", {}))
    for precision in found:
        assert np.linalg.norm(found[precision]["padded"], axis=-1) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("normalised", [True, False])
def test_the_mean_of_all_states(tmp_path, engine, normalised):
    """As sentence-transformers' files ask for: MiniLM's way."""
    model, prompts = made(BertModel, BertConfig(**BERT), tmp_path), asked()
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    kinds = ["Transformer", "Pooling", *(["Normalize"] if normalised else [])]
    modules = [{"idx": at, "type": f"sentence_transformers.models.{kind}"} for at, kind in enumerate(kinds)]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    vectors = np.stack([states_of(model, prompt).mean(0) for prompt in prompts])
    found = engine(tmp_path, prompts, kind="encoder")
    compare(found, vectors)
    lengths = np.linalg.norm(vectors, axis=-1)
    assert np.linalg.norm(found["fp32"]["single"], axis=-1) == pytest.approx(1 if normalised else lengths, rel=1e-4)


def named_by_its_authors(tensors, prefix):
    """What a GTE of transformers 5 is called in its authors' files."""
    new = {
        "self_attn.o_proj": "attention.o_proj",
        "self_attn.q_proj": "attention.qkv_proj",
        "mlp.up_proj": "mlp.up_gate_proj",
        "mlp.down_proj": "mlp.down_proj",
        "post_attention_layernorm": "attn_ln",
        "post_mlp_layernorm": "mlp_ln",
    }
    joined = {"self_attn.q_proj": ("q_proj", "k_proj", "v_proj"), "mlp.up_proj": ("up_proj", "gate_proj")}
    found = {}
    for name in tensors:
        layer, _, part = name.removeprefix("layers.").partition(".")
        part, _, kind = part.rpartition(".")
        if not name.startswith("layers."):
            found[prefix + name] = tensors[name]
        elif part in new:
            first, *others = joined.get(part, ("",))
            rows = [tensors[name], *(tensors[name.replace(first, each)] for each in others)]
            found[f"{prefix}encoder.layer.{layer}.{new[part]}.{kind}"] = np.concatenate(rows)
    return found


def own_config(theta, **more):
    """As Alibaba writes it: code of its own, which is never run, and fields of its own."""
    own = {name: value for name, value in GTE.items() if name != "rope_parameters"}
    return own | {
        "model_type": "new",
        "architectures": ["NewModel"],
        "auto_map": {
            "AutoConfig": "Alibaba-NLP/new-impl--configuration.NewConfig",
            "AutoModel": "Alibaba-NLP/new-impl--modeling.NewModel",
        },
        "hidden_act": "gelu",
        "layer_norm_type": "layer_norm",
        "layer_norm_eps": 1e-12,
        "position_embedding_type": "rope",
        "pack_qkv": True,
        "logn_attention_scale": False,
        "logn_attention_clip1": False,
        "attention_probs_dropout_prob": 0.0,
        "hidden_dropout_prob": 0.1,
        "classifier_dropout": None,
        "use_memory_efficient_attention": False,
        "pad_token_id": 0,
        "unpad_inputs": "true",
        "rope_theta": theta,
        **more,
    }


@pytest.mark.parametrize(("own", "prefix"), [(False, ""), (True, ""), (True, "new.")])
def test_gte_equals_the_reference(tmp_path, engine, tally, own, prefix):
    """Both ways to store it; the vectors keep their length."""
    model, prompts = made(GteModel, GteConfig(**GTE), tmp_path), asked()
    tensors = tensors_of(model)
    if own:
        save_file(named_by_its_authors(tensors, prefix), tmp_path / "model.safetensors")
        theta = model.config.rope_parameters["rope_theta"]
        (tmp_path / "config.json").write_text(json.dumps(own_config(theta)))
    else:
        save_file(tensors, tmp_path / "model.safetensors")
    vectors = np.stack([states_of(model, prompt)[0] for prompt in prompts])
    found = engine(tmp_path, prompts, kind="encoder")
    compare(found, vectors, tally.setdefault("GTE v1.5", {}))
    np.testing.assert_allclose(found["fp32"]["padded"], vectors, rtol=1e-3, atol=1e-4)
    assert not np.allclose(np.linalg.norm(vectors, axis=-1), 1, atol=0.1)


@pytest.mark.parametrize(
    "scaling", [None, {"type": "ntk", "factor": 2.0}, {"type": "ntk", "factor": 4.0, "mixed_b": 0.6}]
)
@pytest.mark.parametrize("segments", [0, 2])
def test_gte_as_its_authors_scale_it(tmp_path, engine, scaling, segments):
    model = made(GteModel, GteConfig(**GTE), tmp_path)
    tensors = named_by_its_authors(tensors_of(model), "")
    if not segments:
        del tensors["embeddings.token_type_embeddings.weight"]
    save_file(tensors, tmp_path / "model.safetensors")
    config = own_config(500_000, rope_scaling=scaling, type_vocab_size=segments)
    (tmp_path / "config.json").write_text(json.dumps(config))
    exact = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
    prompts = asked((5, 300))
    vectors = np.stack([plain.gte(exact, config, np.array(prompt)) for prompt in prompts])
    compare(engine(tmp_path, prompts, kind="encoder"), vectors)


def test_a_text_of_the_whole_context(tmp_path, engine):
    """8,192 tokens: in 16 bits, places above 256 would melt into each other if they were counted there."""
    model = made(GteModel, GteConfig(**GTE | {"num_hidden_layers": 1}), tmp_path)
    save_file(tensors_of(model), tmp_path / "model.safetensors")
    prompts = asked((8192,))
    vectors = np.stack([states_of(model, prompt)[0] for prompt in prompts])
    for precision, found in engine(tmp_path, prompts, kind="encoder").items():
        assert cosines(found["single"], vectors).min() > {"fp32": 0.99999, "bf16": 0.999, "int8": 0.995}[precision]


@pytest.fixture
def wide(tmp_path):
    """A folder for models of some hundred megabytes, which goes with the test."""
    yield tmp_path
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize("size", PUBLISHED)
def test_bge_in_its_published_widths(wide, engine, tally, size):
    shape = {"vocab_size": 30_522, "max_position_embeddings": 512, "type_vocab_size": 2, "hidden_act": "gelu"}
    model = made(BertModel, BertConfig(**PUBLISHED[size], **FEWER, **shape), wide)
    prompts = asked((3, 60, 512), 30_522)
    vectors = np.stack([states_of(model, prompt)[0] for prompt in prompts])
    found = engine(wide, prompts, kind="encoder", cache=str(wide / "cache"))
    compare(found, vectors, tally.setdefault("BGE v1.5", {}))
    assert found["bf16"]["padded"].shape == (3, PUBLISHED[size]["hidden_size"])


@pytest.mark.parametrize(("size", "own"), GTES.items())
def test_gte_in_its_published_widths(wide, engine, tally, size, own):
    """With its authors' rotation and its scaling, which only they have."""
    shape = {**PUBLISHED[size], **FEWER, "vocab_size": 30_528}
    model = made(GteModel, GteConfig(**GTE | shape), wide)
    tensors = named_by_its_authors(tensors_of(model), "")
    if not own["type_vocab_size"]:
        del tensors["embeddings.token_type_embeddings.weight"]
    save_file(tensors, wide / "model.safetensors")
    config = own_config(own["rope_theta"], rope_scaling={"type": "ntk", "factor": 2.0}, **shape | own)
    (wide / "config.json").write_text(json.dumps(config))
    # The table of all words stays as small as it is: only the rows of the texts are looked up in it.
    exact = {name: value if value.shape[0] == 30_528 else value.astype(np.float64) for name, value in tensors.items()}
    prompts = asked((3, 60, 600), 30_528)
    vectors = np.stack([plain.gte(exact, config, np.array(prompt)) for prompt in prompts])
    found = engine(wide, prompts, kind="encoder", cache=str(wide / "cache"))
    compare(found, vectors, tally.setdefault("GTE v1.5", {}))
    assert found["bf16"]["padded"].shape == (3, PUBLISHED[size]["hidden_size"])
