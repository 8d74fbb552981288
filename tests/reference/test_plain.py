"""Settings that the reference implementation leaves out: the engine against the same maths written down in numpy."""

import json
import random

import numpy as np
import plain
import pytest
import torch
from families import CASES, make
from safetensors.numpy import save_file
from safetensors.torch import load_file
from tiny_families import dbrx as dbrx_shapes

STEPS = 12
TINY_VOCAB = 320
MPT = {
    "model_type": "mpt",
    "architectures": ["MPTForCausalLM"],
    "auto_map": {"AutoConfig": "configuration_mpt.MPTConfig", "AutoModelForCausalLM": "modeling_mpt.MPTForCausalLM"},
    "d_model": 192,
    "n_heads": 6,
    "n_layers": 2,
    "vocab_size": TINY_VOCAB,
    "max_seq_len": 512,
    "expansion_ratio": 2,
    "no_bias": False,
    "norm_type": "low_precision_layernorm",
    "logit_scale": "inv_sqrt_d_model",
    "attn_config": {"alibi": True, "alibi_bias_max": 16, "clip_qkv": 0.8, "softmax_scale": 0.3, "qk_ln": False},
}
DBRX = {
    "model_type": "dbrx",
    "architectures": ["DbrxForCausalLM"],
    "auto_map": {
        "AutoConfig": "configuration_dbrx.DbrxConfig",
        "AutoModelForCausalLM": "modeling_dbrx.DbrxForCausalLM",
    },
    "d_model": 128,
    "n_heads": 4,
    "n_layers": 2,
    "vocab_size": TINY_VOCAB,
    "max_seq_len": 16_384,
    "attn_config": {"clip_qkv": 0.5, "kv_n_heads": 2, "model_type": "", "rope_theta": 500_000},
    "ffn_config": {"ffn_hidden_size": 96, "model_type": "", "moe_num_experts": 6, "moe_top_k": 3},
    "tie_word_embeddings": False,
}


def mpt_shapes(config):
    width, inner = config["d_model"], config["d_model"] * config["expansion_ratio"]
    linears = {"attn.Wqkv": (3 * width, width), "attn.out_proj": (width, width)}
    linears |= {"ffn.up_proj": (inner, width), "ffn.down_proj": (width, inner)}
    shapes = {"transformer.wte.weight": (config["vocab_size"], width)}
    norms = ["transformer.norm_f"]
    for number in range(config["n_layers"]):
        name = f"transformer.blocks.{number}."
        norms += [name + "norm_1", name + "norm_2"]
        shapes |= {f"{name}{part}.weight": shape for part, shape in linears.items()}
        shapes |= {f"{name}{part}.bias": shape[:1] for part, shape in linears.items() if not config["no_bias"]}
    shapes |= {f"{norm}.weight": (width,) for norm in norms}
    return shapes | {f"{norm}.bias": (width,) for norm in norms if not config["no_bias"]}


def write(folder, config, shapes):
    """A random model; its tensors as they were written, in numpy's own precision."""
    numbers = np.random.default_rng(0)
    tensors = {
        name: numbers.normal(1.0 if len(shape) == 1 and name.endswith("weight") else 0.0, 0.15, shape).astype(
            np.float32
        )
        for name, shape in shapes.items()
    }
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return {name: tensor.astype(np.float64) for name, tensor in tensors.items()}


def prompts(vocab=TINY_VOCAB, lengths=(24, 60)):
    numbers = random.Random(5)
    return [[numbers.randrange(3, vocab) for _ in range(length)] for length in lengths]


def compare(engine, folder, logits_of, tensors, config):
    asked = prompts()
    found = engine(folder, asked, ("fp32",), steps=STEPS)["fp32"]
    for number, prompt in enumerate(asked):
        np.testing.assert_allclose(found[f"rows{number}"], logits_of(tensors, config, np.array(prompt)), atol=2e-4)
        tokens, logprobs = plain.greedy(logits_of, tensors, config, prompt, STEPS)
        assert found[f"tokens{number}"].tolist() == tokens
        np.testing.assert_allclose(found[f"logprobs{number}"], logprobs, atol=3e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"no_bias": True, "expansion_ratio": 4, "logit_scale": 0.5, "d_model": 128, "n_heads": 4},
        {"attn_config": {"alibi": True, "alibi_bias_max": 4}, "logit_scale": None},
    ],
)
def test_mpt_as_its_authors_mean_it(tmp_path, engine, changes):
    config = MPT | changes
    compare(engine, tmp_path, plain.mpt, write(tmp_path, config, mpt_shapes(config)), config)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        # as transformers 5 writes a model down that it has read: with a base of its own beside the authors'
        {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}},
        {"ffn_config": DBRX["ffn_config"] | {"moe_normalize_expert_weights": None, "moe_top_k": 1}},
    ],
)
def test_dbrx_as_its_authors_mean_it(tmp_path, engine, changes):
    config = DBRX | changes
    compare(engine, tmp_path, plain.dbrx, write(tmp_path, config, dbrx_shapes(config)), config)


@pytest.mark.parametrize(("name", "logits_of"), [("mpt-odd-heads-clipped", plain.mpt), ("dbrx", plain.dbrx)])
def test_the_plain_maths_is_the_references_where_that_leaves_nothing_out(tmp_path, name, logits_of):
    model = make(CASES[name], tmp_path)
    tensors = {key: value.numpy().astype(np.float64) for key, value in model.state_dict().items()}
    prompt = prompts(2048)[0]
    with torch.no_grad():
        rows = model(torch.tensor([prompt])).logits[0].numpy()
    config = json.loads((tmp_path / "config.json").read_text())
    np.testing.assert_allclose(logits_of(tensors, config, np.array(prompt)), rows, atol=1e-4)


def test_experts_stored_in_one_piece(tmp_path, engine):
    """Transformers 5 has them so in memory, and writes them in pieces; others write what it has."""
    make(CASES["mixtral"], tmp_path)
    asked = prompts(2048)
    apart = engine(tmp_path, asked, ("fp32", "int8"), steps=2)
    joined = fuse(read_bf16(tmp_path), experts=4)
    (tmp_path / "model.safetensors").unlink()
    save_file(joined, tmp_path / "model.safetensors")
    together = engine(tmp_path, asked, ("fp32", "int8"), steps=2)
    for precision, bound in (("fp32", 1e-5), ("int8", 1e-3)):
        for number in range(len(asked)):
            np.testing.assert_allclose(
                together[precision][f"rows{number}"], apart[precision][f"rows{number}"], atol=bound
            )


def read_bf16(folder):
    """numpy has no bfloat16."""

    return {name: value.float().numpy() for name, value in load_file(folder / "model.safetensors").items()}


def fuse(tensors, experts):
    found = {}
    for name, tensor in tensors.items():
        if ".experts." not in name:
            found[name.replace("block_sparse_moe", "mlp")] = tensor
    blocks = {name.split(".block_sparse_moe")[0] for name in tensors if "block_sparse_moe" in name}
    assert blocks
    for block in blocks:
        one = f"{block}.block_sparse_moe.experts."
        both = [
            np.concatenate([tensors[f"{one}{number}.{part}.weight"] for part in ("w1", "w3")])
            for number in range(experts)
        ]
        found[f"{block}.mlp.experts.gate_up_proj"] = np.stack(both)
        down = [tensors[f"{one}{number}.w2.weight"] for number in range(experts)]
        found[f"{block}.mlp.experts.down_proj"] = np.stack(down)
    return found
