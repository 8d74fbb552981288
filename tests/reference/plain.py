"""The maths of MPT, DBRX and GTE once more, in numpy, straight from their authors' configurations.

For settings that the reference implementation leaves out or reads in another way: MPT's biases, `alibi_bias_max`,
`expansion_ratio`, `softmax_scale` and `logit_scale`, the place of DBRX's rope_theta, GTE's scaling of rotations. Where
it leaves nothing out, a test compares the two.
"""

import math

import numpy as np
from scipy.special import erf


def layer_norm(x, tensors, name, epsilon=1e-5):
    centred = x - x.mean(-1, keepdims=True)
    y = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon) * tensors[f"{name}.weight"]
    return y + tensors.get(f"{name}.bias", 0.0)


def linear(x, tensors, name):
    return x @ tensors[f"{name}.weight"].T + tensors.get(f"{name}.bias", 0.0)


def softmax(x):
    raised = np.exp(x - x.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


def silu(x):
    return x / (1 + np.exp(-x))


def gelu(x):
    return x * (1 + erf(x / math.sqrt(2))) / 2


def heads(x, size):
    """[T, heads * size] -> [heads, T, size]."""
    return x.reshape(len(x), -1, size).swapaxes(0, 1)


def attention(query, key, value, scale, bias=0.0, *, causal=True):
    """[heads, T, size] each; fewer keys than queries are shared by neighbours. -> [T, heads * size]"""
    share = len(query) // len(key)
    key, value = np.repeat(key, share, 0), np.repeat(value, share, 0)
    scores = query @ key.swapaxes(1, 2) * scale + bias
    if causal:
        places = np.arange(query.shape[1])
        scores = np.where(places[None, :, None] >= places[None, None, :], scores, -np.inf)
    mixed = softmax(scores) @ value
    return mixed.swapaxes(0, 1).reshape(query.shape[1], -1)


def turned(x, frequencies):
    """[heads, T, size], by the places 0, 1, 2, ..."""
    angles = np.arange(x.shape[1])[:, None] * frequencies
    cosine, sine = np.cos(angles), np.sin(angles)
    first, second = np.split(x, 2, -1)
    return np.concatenate([first * cosine - second * sine, second * cosine + first * sine], -1)


def frequencies(theta, size):
    return theta ** -(np.arange(0, size, 2) / size)


def clip(x, limit):
    return x if limit is None else np.clip(x, -limit, limit)


def slopes(count, largest):
    """The paper's: 2^(-largest/n) and its powers; if heads is no power of two, every second one of the next first."""
    whole = 2 ** math.ceil(math.log2(count))
    all_ = [2 ** (-largest / whole * number) for number in range(1, whole + 1)]
    return np.array(all_ if whole == count else (all_[1::2] + all_[::2])[:count])


def mpt(tensors, config, tokens):
    """Logits [T, vocabulary]."""
    width, count, own = config["d_model"], config["n_heads"], config.get("attn_config", {})
    size, epsilon = width // count, config.get("layer_norm_epsilon", 1e-5)
    places = np.arange(len(tokens))
    bias = slopes(count, own.get("alibi_bias_max", 8))[:, None, None] * (places[None, None, :] - places[None, :, None])
    x = tensors["transformer.wte.weight"][tokens]
    for number in range(config["n_layers"]):
        name = f"transformer.blocks.{number}."
        together = linear(layer_norm(x, tensors, name + "norm_1", epsilon), tensors, name + "attn.Wqkv")
        parts = (heads(part, size) for part in np.split(clip(together, own.get("clip_qkv")), 3, -1))
        mixed = attention(*parts, own.get("softmax_scale") or size**-0.5, bias)
        x = x + linear(mixed, tensors, name + "attn.out_proj")
        inner = linear(layer_norm(x, tensors, name + "norm_2", epsilon), tensors, name + "ffn.up_proj")
        x = x + linear(gelu(inner), tensors, name + "ffn.down_proj")
    scale = config.get("logit_scale") or 1.0
    scale = width**-0.5 if scale == "inv_sqrt_d_model" else scale
    return layer_norm(x, tensors, "transformer.norm_f", epsilon) @ tensors["transformer.wte.weight"].T * scale


def dbrx(tensors, config, tokens):
    """Logits [T, vocabulary]."""
    width, own = config["d_model"], config["attn_config"]
    size = width // config["n_heads"]
    narrow = own["kv_n_heads"] * size
    turns = frequencies(own["rope_theta"], size)
    x = tensors["transformer.wte.weight"][tokens]
    for number in range(config["n_layers"]):
        name = f"transformer.blocks.{number}."
        both = name + "norm_attn_norm."
        together = clip(linear(layer_norm(x, tensors, both + "norm_1"), tensors, both + "attn.Wqkv"), own["clip_qkv"])
        query, key, value = (heads(part, size) for part in np.split(together, [width, width + narrow], -1))
        mixed = attention(turned(query, turns), turned(key, turns), value, size**-0.5)
        x = x + linear(mixed, tensors, both + "attn.out_proj")
        x = x + chosen_experts(layer_norm(x, tensors, both + "norm_2"), tensors, name + "ffn.", config["ffn_config"])
    return layer_norm(x, tensors, "transformer.norm_f") @ tensors["lm_head.weight"].T


def chosen_experts(x, tensors, name, config):
    """Token by token."""
    shape = (config["moe_num_experts"], config["ffn_hidden_size"], x.shape[-1])
    w1, v1, w2 = (tensors[f"{name}experts.mlp.{part}"].reshape(shape) for part in ("w1", "v1", "w2"))
    shares = softmax(x @ tensors[f"{name}router.layer.weight"].T)
    out = np.zeros_like(x)
    for place, (row, share) in enumerate(zip(x, shares, strict=True)):
        best = np.argsort(-share)[: config["moe_top_k"]]
        total = share[best].sum() if config.get("moe_normalize_expert_weights", 1) == 1 else 1.0
        for expert in best:
            out[place] += share[expert] / total * (silu(w1[expert] @ row) * (v1[expert] @ row)) @ w2[expert]
    return out


def ntk(theta, size, factor, mixed_b=None):
    """GTE's frequencies: https://kexue.fm/archives/9706, with one factor, or one that grows with the exponent."""
    if mixed_b is None:
        return frequencies(theta * factor, size) / factor ** (2 / size)
    half = size // 2
    strength = math.log(factor) / half**mixed_b
    return frequencies(theta, size) / np.exp(strength * np.arange(1, half + 1) ** mixed_b)


def gte(tensors, config, tokens):
    """The first token's last state, from tensors as GTE's authors name them."""
    width, count = config["hidden_size"], config["num_attention_heads"]
    size, epsilon = width // count, config["layer_norm_eps"]
    scaling = config.get("rope_scaling") or {"factor": 1.0}
    turns = ntk(config["rope_theta"], size, scaling["factor"], scaling.get("mixed_b"))
    x = tensors["embeddings.word_embeddings.weight"][tokens]
    if config["type_vocab_size"]:
        x = x + tensors["embeddings.token_type_embeddings.weight"][0]
    x = layer_norm(x, tensors, "embeddings.LayerNorm", epsilon)
    for number in range(config["num_hidden_layers"]):
        name = f"encoder.layer.{number}."
        query, key, value = (
            heads(part, size) for part in np.split(linear(x, tensors, name + "attention.qkv_proj"), 3, -1)
        )
        mixed = attention(turned(query, turns), turned(key, turns), value, size**-0.5, causal=False)
        x = layer_norm(x + linear(mixed, tensors, name + "attention.o_proj"), tensors, name + "attn_ln", epsilon)
        up, gate = np.split(linear(x, tensors, name + "mlp.up_gate_proj"), 2, -1)
        x = layer_norm(x + linear(gelu(gate) * up, tensors, name + "mlp.down_proj"), tensors, name + "mlp_ln", epsilon)
    return x[0]


def greedy(logits_of, tensors, config, prompt, steps):
    """Tokens after a prompt, and their log probabilities."""
    tokens, told = list(prompt), []
    for _ in range(steps):
        row = logits_of(tensors, config, np.array(tokens))[-1]
        tokens.append(int(row.argmax()))
        told.append(-math.log(np.exp(row - row.max()).sum()))
    return tokens[len(prompt) :], told
