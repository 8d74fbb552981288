"""Random-weight Llama checkpoints for the engine benchmark, as an ordinary model directory in bf16 safetensors.

The shapes are those that engines are compared on: 32 M values (512 hidden x 8 layers) and about 1 B (Llama-3.2-1B's
layers with a vocabulary of 32,000). Weights say nothing about speed, so they are drawn at random from a fixed seed.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

SPREAD = 0.02
"""Standard deviation of every matrix: Llama's own initialisation."""
CONTEXT = 4096
END = 1
"""Token id of the end of a text."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a Llama."""

    name: str
    hidden: int
    feed_forward: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    tied: bool
    context: int = CONTEXT

    @property
    def head_size(self) -> int:
        return self.hidden // self.heads

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of keys and values per token, in bf16."""
        return 2 * 2 * self.layers * self.kv_heads * self.head_size


SHAPES = {
    "32m": Shape("32m", 512, 1408, 8, 8, 4, 8192, tied=False),
    "1b": Shape("1b", 2048, 8192, 16, 32, 8, 32000, tied=True),
}
ROOMY = {
    "32m": Shape("32m-8k", 512, 1408, 8, 8, 4, 8192, tied=False, context=8192),
    "16m": Shape("16m-8k", 512, 1408, 4, 8, 4, 8192, tied=False, context=8192),
}
"""With room for 4,096 tokens of answer after a prompt."""


def ensure_model(shape: Shape, folder: Path) -> Path:
    """The model's directory under `folder`, made if it is not there. Takes about half a minute for 1 B."""
    directory = folder / shape.name
    if (directory / "config.json").exists():
        return directory
    directory.mkdir(parents=True, exist_ok=True)
    _write_tokenizer(shape, directory)
    _write_tensors(list(_tensors(shape)), directory / "model.safetensors", seed=20)
    (directory / "generation_config.json").write_text(json.dumps({"eos_token_id": END}), encoding="utf-8")
    # last: its presence says that the directory is whole
    (directory / "config.json").write_text(json.dumps(_config(shape), indent=2), encoding="utf-8")
    return directory


def ensure_adapter(shape: Shape, folder: Path, rank: int, seed: int) -> Path:
    """The directory of a LoRA adapter of all linear layers, as PEFT writes it, made if it is not there."""
    directory = folder / f"{shape.name}-lora-{rank}-{seed}"
    if (directory / "adapter_config.json").exists():
        return directory
    directory.mkdir(parents=True, exist_ok=True)
    tensors: list[tuple[str, tuple[int, ...]]] = []
    for name, dims in _tensors(shape):
        if name.endswith("_proj.weight"):
            layer = f"base_model.model.{name.removesuffix('.weight')}"
            tensors += [(f"{layer}.lora_A.weight", (rank, dims[1])), (f"{layer}.lora_B.weight", (dims[0], rank))]
    _write_tensors(tensors, directory / "adapter_model.safetensors", seed)
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": rank, "bias": "none"}
    (directory / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    return directory


def _config(shape: Shape) -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": shape.hidden,
        "intermediate_size": shape.feed_forward,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_size,
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": shape.context,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": shape.tied,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": 0,
        "eos_token_id": END,
        "torch_dtype": "bfloat16",
    }


def _tensors(shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    h, f, kv = shape.hidden, shape.feed_forward, shape.kv_heads * shape.head_size
    yield "model.embed_tokens.weight", (shape.vocabulary, h)
    for layer in range(shape.layers):
        p = f"model.layers.{layer}."
        yield p + "input_layernorm.weight", (h,)
        yield p + "self_attn.q_proj.weight", (h, h)
        yield p + "self_attn.k_proj.weight", (kv, h)
        yield p + "self_attn.v_proj.weight", (kv, h)
        yield p + "self_attn.o_proj.weight", (h, h)
        yield p + "post_attention_layernorm.weight", (h,)
        yield p + "mlp.gate_proj.weight", (f, h)
        yield p + "mlp.up_proj.weight", (f, h)
        yield p + "mlp.down_proj.weight", (h, f)
    yield "model.norm.weight", (h,)
    if not shape.tied:
        yield "lm_head.weight", (shape.vocabulary, h)


def _write_tensors(tensors: Sequence[tuple[str, tuple[int, ...]]], path: Path, seed: int) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, dims in tensors:
        start, end = end, end + 2 * int(np.prod(dims))
        header[name] = {"dtype": "BF16", "shape": list(dims), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    rng = np.random.default_rng(seed)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, dims in tensors:
            file.write(_values(rng, dims).tobytes())


def _values(rng: np.random.Generator, dims: tuple[int, ...]) -> NDArray[np.uint16]:
    if len(dims) == 1:  # a norm's scale
        values = np.ones(dims, np.float32)
    else:
        values = rng.standard_normal(dims, np.float32)
        values *= np.float32(SPREAD)
    return (values.view(np.uint32) >> np.uint32(16)).astype(np.uint16)


def _write_tokenizer(shape: Shape, directory: Path) -> None:
    """A byte-level BPE whose every id stands for some text, so that both sides can turn any answer into text."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    specials = ["<s>", "</s>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: n for n, piece in enumerate(specials + alphabet)}
    letters = [c for c in alphabet if c.isascii()]
    merges: list[tuple[str, str]] = []
    for a, b in _merges(letters):
        if len(vocabulary) == shape.vocabulary:
            break
        if a + b not in vocabulary:
            vocabulary[a + b] = len(vocabulary)
            merges.append((a, b))
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(s, special=True) for s in specials])
    tokenizer.save(str(directory / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    (directory / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def _merges(letters: list[str]) -> Iterator[tuple[str, str]]:
    """Merges in order: every pair of letters first, then pairs with a letter behind."""
    two = [(a, b) for a in letters for b in letters]
    yield from two
    yield from ((a + b, c) for a, b in two for c in letters)
