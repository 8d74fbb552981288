"""Tiny random models, written with numpy alone."""

import json
import struct
from pathlib import Path

import numpy as np

LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 128,
    "intermediate_size": 192,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "vocab_size": 320,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
}
BERT = {
    "model_type": "bert",
    "architectures": ["BertModel"],
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": 100,
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
}


def safetensors(header, data=b""):
    """The bytes of a file with this header, true or not."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def write_safetensors(path: Path, tensors):
    """tensors: name -> float32 array, stored as BF16."""
    header, data = {}, b""
    for name, array in tensors.items():
        raw = (np.ascontiguousarray(array, np.float32).view(np.uint32) >> 16).astype(np.uint16).tobytes()
        header[name] = {"dtype": "BF16", "shape": array.shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    path.write_bytes(safetensors(header, data))


def llama_shapes(config):
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    wide, narrow = (config["head_dim"] * config[name] for name in ("num_attention_heads", "num_key_value_heads"))
    shapes = {"model.embed_tokens.weight": (config["vocab_size"], hidden), "model.norm.weight": (hidden,)}
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (config["vocab_size"], hidden)
    for number in range(config["num_hidden_layers"]):
        layer = f"model.layers.{number}."
        shapes |= {
            layer + "self_attn.q_proj.weight": (wide, hidden),
            layer + "self_attn.k_proj.weight": (narrow, hidden),
            layer + "self_attn.v_proj.weight": (narrow, hidden),
            layer + "self_attn.o_proj.weight": (hidden, wide),
            layer + "mlp.gate_proj.weight": (inner, hidden),
            layer + "mlp.up_proj.weight": (inner, hidden),
            layer + "mlp.down_proj.weight": (hidden, inner),
            layer + "input_layernorm.weight": (hidden,),
            layer + "post_attention_layernorm.weight": (hidden,),
        }
    return shapes


def bert_shapes(config):
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    shapes = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], hidden),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], hidden),
        "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], hidden),
    }
    norms = ["embeddings.LayerNorm"]
    for number in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{number}."
        linears = {f"attention.self.{part}": (hidden, hidden) for part in ("query", "key", "value")}
        linears |= {"attention.output.dense": (hidden, hidden), "intermediate.dense": (inner, hidden)}
        linears["output.dense"] = (hidden, inner)
        for name, shape in linears.items():
            shapes |= {f"{layer}{name}.weight": shape, f"{layer}{name}.bias": shape[:1]}
        norms += [layer + "attention.output.LayerNorm", layer + "output.LayerNorm"]
    for name in norms:
        shapes |= {f"{name}.weight": (hidden,), f"{name}.bias": (hidden,)}
    return shapes


def write_model(folder: Path, config=None, seed=0, **changes):
    """A random model of the given configuration; None as a change takes a field away."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {name: value for name, value in {**(config or LLAMA), **changes}.items() if value is not None}
    shapes = llama_shapes(config) if "head_dim" in config else bert_shapes(config)
    rng = np.random.default_rng(seed)
    write_safetensors(
        folder / "model.safetensors",
        {
            name: rng.normal(1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0, 0.1, shape)
            for name, shape in shapes.items()
        },
    )
    (folder / "config.json").write_text(json.dumps(config))
    return folder
