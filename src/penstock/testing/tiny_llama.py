"""A Llama of a few kilobytes, as the file tree that MLflow uploads; written without torch, transformers or mlflow."""

import json
import random
from array import array

from penstock.testing.tiny_tensors import pack

HIDDEN, LAYERS, HEADS, KV_HEADS, FEED = 64, 2, 4, 2, 128
HEAD = HIDDEN // HEADS
SPECIAL = ("<s>", "</s>", "<|user|>", "<|assistant|>", "<|system|>")
VOCABULARY = 256 + len(SPECIAL)
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": HIDDEN,
    "intermediate_size": FEED,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,
    "bos_token_id": 256,
    "eos_token_id": 257,
}
MLMODEL = """\
flavors:
  transformers:
    task: llm/v1/chat
    inference_task: llm/v1/chat
    pipeline_model_type: LlamaForCausalLM
    instance_type: TextGenerationPipeline
    model_binary: model
    components:
    - tokenizer
    tokenizer_type: PreTrainedTokenizerFast
    torch_dtype: torch.float32
    transformers_version: 5.23.0
metadata:
  task: llm/v1/chat
"""


def version_files(seed: int = 0, *, head: int = HEAD) -> dict[str, bytes]:
    """Path -> content of a version that can be served for chat. Another seed gives other weights.

    `head` is the size of an attention head: there are engines that do not compute one of 16.
    """
    return {
        "MLmodel": MLMODEL.encode(),
        "model/config.json": json.dumps({**CONFIG, "vocab_size": VOCABULARY, "head_dim": head}).encode(),
        "model/model.safetensors": _filled(weights(head), random.Random(seed)),  # noqa: S311 - weights
        "components/tokenizer/tokenizer.json": json.dumps(_tokenizer()).encode(),
        "components/tokenizer/tokenizer_config.json": json.dumps(
            {"bos_token": "<s>", "eos_token": "</s>", "chat_template": TEMPLATE}
        ).encode(),
    }


def weights(head: int = HEAD) -> dict[str, tuple[int, ...]]:
    """Shapes by the names of the weights."""
    queries, kv = head * HEADS, head * KV_HEADS
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (VOCABULARY, HIDDEN),
        "model.norm.weight": (HIDDEN,),
        "lm_head.weight": (VOCABULARY, HIDDEN),
    }
    for layer in range(LAYERS):
        root = f"model.layers.{layer}."
        shapes |= {
            f"{root}input_layernorm.weight": (HIDDEN,),
            f"{root}post_attention_layernorm.weight": (HIDDEN,),
            f"{root}self_attn.q_proj.weight": (queries, HIDDEN),
            f"{root}self_attn.k_proj.weight": (kv, HIDDEN),
            f"{root}self_attn.v_proj.weight": (kv, HIDDEN),
            f"{root}self_attn.o_proj.weight": (HIDDEN, queries),
            f"{root}mlp.gate_proj.weight": (FEED, HIDDEN),
            f"{root}mlp.up_proj.weight": (FEED, HIDDEN),
            f"{root}mlp.down_proj.weight": (HIDDEN, FEED),
        }
    return shapes


def _filled(shapes: dict[str, tuple[int, ...]], numbers: random.Random) -> bytes:
    def values(shape: tuple[int, ...]) -> "array[float]":
        if len(shape) == 1:
            return array("f", [1.0] * shape[0])
        return array("f", (numbers.gauss(0, 0.1) for _ in range(shape[0] * shape[1])))

    return pack({name: (shape, values(shape)) for name, shape in shapes.items()})


def _tokenizer() -> dict[str, object]:
    """A tokenizer of single bytes: every text is its UTF-8 bytes."""
    special = [
        {
            "id": 256 + number,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for number, token in enumerate(SPECIAL)
    ]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": None,
        "pre_tokenizer": level,
        "post_processor": None,
        "decoder": level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {character: number for number, character in enumerate(_byte_characters())},
            "merges": [],
        },
    }


def _byte_characters() -> list[str]:
    """The printable stand-ins of the 256 bytes in byte-level tokenizers (GPT-2's table)."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    rest = [byte for byte in range(256) if byte not in plain]
    table = {byte: chr(byte) for byte in plain} | {byte: chr(256 + number) for number, byte in enumerate(rest)}
    return [table[byte] for byte in range(256)]
