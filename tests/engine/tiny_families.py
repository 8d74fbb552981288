"""Tiny random models of the families whose tensors are named in other ways than Llama's and BERT's."""

import json

import numpy as np
from tiny_models import BERT, LLAMA, llama_shapes, write_safetensors

MIXTRAL = LLAMA | {
    "model_type": "mixtral",
    "architectures": ["MixtralForCausalLM"],
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
}
QWEN2 = LLAMA | {
    "model_type": "qwen2",
    "architectures": ["Qwen2ForCausalLM"],
    "use_sliding_window": False,
    "sliding_window": 4096,
}
MPT = {
    "model_type": "mpt",
    "architectures": ["MPTForCausalLM"],
    "d_model": 128,
    "n_heads": 4,
    "n_layers": 2,
    "expansion_ratio": 2,
    "vocab_size": 320,
    "max_seq_len": 256,
    "no_bias": True,
    "attn_config": {"alibi": True, "alibi_bias_max": 8, "clip_qkv": 2.0},
}
DBRX = {
    "model_type": "dbrx",
    "architectures": ["DbrxForCausalLM"],
    "d_model": 128,
    "n_heads": 4,
    "n_layers": 2,
    "vocab_size": 320,
    "max_seq_len": 256,
    "attn_config": {"kv_n_heads": 2, "clip_qkv": 8, "rope_theta": 500_000},
    "ffn_config": {"ffn_hidden_size": 64, "moe_num_experts": 4, "moe_top_k": 2},
}
GTE = BERT | {
    "model_type": "new",
    "architectures": ["NewModel"],
    "position_embedding_type": "rope",
    "rope_theta": 500_000,
    "rope_scaling": {"type": "ntk", "factor": 2.0},
    "max_position_embeddings": 512,
}
DECODERS = {"mixtral": MIXTRAL, "qwen2": QWEN2, "mpt": MPT, "dbrx": DBRX}


def shapes_of(config):
    return {"mixtral": mixtral, "qwen2": qwen2, "mpt": mpt, "dbrx": dbrx, "new": gte}[config["model_type"]](config)


def mixtral(config):
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    shapes = {name: shape for name, shape in llama_shapes(config).items() if ".mlp." not in name}
    for number in range(config["num_hidden_layers"]):
        name = f"model.layers.{number}.block_sparse_moe."
        shapes[name + "gate.weight"] = (config["num_local_experts"], hidden)
        for expert in range(config["num_local_experts"]):
            one = f"{name}experts.{expert}."
            shapes |= {one + "w1.weight": (inner, hidden), one + "w3.weight": (inner, hidden)}
            shapes[one + "w2.weight"] = (hidden, inner)
    return shapes


def qwen2(config):
    shapes = llama_shapes(config)
    biased = [name for name in shapes if "self_attn" in name and "o_proj" not in name]
    return shapes | {name.replace(".weight", ".bias"): shapes[name][:1] for name in biased}


def mpt(config):
    width, inner = config["d_model"], config["d_model"] * config["expansion_ratio"]
    shapes = {"transformer.wte.weight": (config["vocab_size"], width), "transformer.norm_f.weight": (width,)}
    for number in range(config["n_layers"]):
        name = f"transformer.blocks.{number}."
        shapes |= {f"{name}{norm}.weight": (width,) for norm in ("norm_1", "norm_2")}
        shapes |= {name + "attn.Wqkv.weight": (3 * width, width), name + "attn.out_proj.weight": (width, width)}
        shapes |= {name + "ffn.up_proj.weight": (inner, width), name + "ffn.down_proj.weight": (width, inner)}
    return shapes


def dbrx(config):
    width, feed = config["d_model"], config["ffn_config"]
    narrow = config["attn_config"]["kv_n_heads"] * width // config["n_heads"]
    shapes = {f"{name}.weight": (config["vocab_size"], width) for name in ("transformer.wte", "lm_head")}
    shapes["transformer.norm_f.weight"] = (width,)
    for number in range(config["n_layers"]):
        name = f"transformer.blocks.{number}."
        shapes |= {f"{name}norm_attn_norm.{norm}.weight": (width,) for norm in ("norm_1", "norm_2")}
        shapes[name + "norm_attn_norm.attn.Wqkv.weight"] = (width + 2 * narrow, width)
        shapes[name + "norm_attn_norm.attn.out_proj.weight"] = (width, width)
        shapes[name + "ffn.router.layer.weight"] = (feed["moe_num_experts"], width)
        rows = feed["moe_num_experts"] * feed["ffn_hidden_size"]
        shapes |= {f"{name}ffn.experts.mlp.{part}": (rows, width) for part in ("w1", "v1", "w2")}
    return shapes


def gte(config):
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    shapes = {"embeddings.word_embeddings.weight": (config["vocab_size"], hidden)}
    shapes["embeddings.token_type_embeddings.weight"] = (config["type_vocab_size"], hidden)
    norms = ["embeddings.LayerNorm"]
    for number in range(config["num_hidden_layers"]):
        name = f"encoder.layer.{number}."
        shapes |= {
            name + "attention.qkv_proj.weight": (3 * hidden, hidden),
            name + "attention.qkv_proj.bias": (3 * hidden,),
        }
        shapes |= {name + "attention.o_proj.weight": (hidden, hidden), name + "attention.o_proj.bias": (hidden,)}
        shapes |= {name + "mlp.up_gate_proj.weight": (2 * inner, hidden)}
        shapes |= {name + "mlp.down_proj.weight": (hidden, inner), name + "mlp.down_proj.bias": (hidden,)}
        norms += [name + "attn_ln", name + "mlp_ln"]
    for norm in norms:
        shapes |= {f"{norm}.weight": (hidden,), f"{norm}.bias": (hidden,)}
    return shapes


def write_family(folder, config, seed=0):
    """A random model of the given configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = np.random.default_rng(seed)
    write_safetensors(
        folder / "model.safetensors",
        {
            name: numbers.normal(1.0 if len(shape) == 1 and name.endswith("weight") else 0.0, 0.1, shape)
            for name, shape in shapes_of(config).items()
        },
    )
    (folder / "config.json").write_text(json.dumps(config))
    return folder
