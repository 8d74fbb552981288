"""Tiny random LoRA adapters, and base models with them merged in."""

import json

import numpy as np
from tiny_models import LLAMA, llama_shapes, safetensors

ATTENTION = ("q_proj", "v_proj")
ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def write_f32(path, tensors):
    header, data = {}, b""
    for name, array in tensors.items():
        raw = np.ascontiguousarray(array, np.float32).tobytes()
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    path.write_bytes(safetensors(header, data))


def write_base(folder, tensors=None, config=LLAMA):
    """A llama whose weights are kept in 32 bits, so that merging rounds nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    if tensors is None:
        numbers = np.random.default_rng(0)
        tensors = {
            name: numbers.normal(1.0 if "norm" in name else 0.0, 0.1, shape).astype(np.float32)
            for name, shape in llama_shapes(config).items()
        }
    write_f32(folder / "model.safetensors", tensors)
    return tensors


def write_adapter(folder, base, modules=ATTENTION, rank=4, seed=1, **config):
    """Writes it as PEFT does; gives the base model's tensors with it merged in."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": 8, "target_modules": list(modules), "bias": "none"} | config
    (folder / "adapter_config.json").write_text(json.dumps(config))
    numbers, pairs, merged = np.random.default_rng(seed), {}, dict(base)
    strength = config["lora_alpha"] / (np.sqrt(rank) if config.get("use_rslora") else rank)
    for name, weight in base.items():
        layer = name.removesuffix(".weight")
        if layer.rsplit(".", 1)[-1] not in modules:
            continue
        down = numbers.normal(0, 0.2, (rank, weight.shape[1])).astype(np.float32)
        up = numbers.normal(0, 0.2, (weight.shape[0], rank)).astype(np.float32)
        pairs[f"base_model.model.{layer}.lora_A.weight"] = down
        pairs[f"base_model.model.{layer}.lora_B.weight"] = up
        merged[name] = weight + strength * up @ down
    write_f32(folder / "adapter_model.safetensors", pairs)
    return merged
