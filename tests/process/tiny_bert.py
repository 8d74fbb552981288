"""A BERT of a few kilobytes for embeddings, as the file tree that MLflow uploads."""

import json
import random
from array import array

from penstock.testing.tiny_llama import MLMODEL, VOCABULARY, version_files
from penstock.testing.tiny_tensors import pack

HIDDEN, FEED, LAYERS, HEADS, POSITIONS = 64, 128, 2, 2, 128
CONFIG = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "hidden_size": HIDDEN,
    "intermediate_size": FEED,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": POSITIONS,
    "type_vocab_size": 2,
    "vocab_size": VOCABULARY,
    "pad_token_id": 0,
}


def bert_files(seed):
    """Path -> content of a version that can be served for embeddings."""
    tokenizer = {path: content for path, content in version_files().items() if path.endswith("tokenizer.json")}
    card = MLMODEL.replace("llm/v1/chat", "llm/v1/embeddings").replace("LlamaForCausalLM", "BertModel")
    numbers = random.Random(seed)
    tensors = {
        name: (
            shape,
            array("f", [numbers.gauss(float(name.endswith("Norm.weight")), 0.1) for _ in range(_count(shape))]),
        )
        for name, shape in shapes().items()
    }
    return {
        "MLmodel": card.encode(),
        "model/config.json": json.dumps(CONFIG).encode(),
        "model/model.safetensors": pack(tensors),
        **tokenizer,
    }


def shapes():
    found = {
        "embeddings.word_embeddings.weight": (VOCABULARY, HIDDEN),
        "embeddings.position_embeddings.weight": (POSITIONS, HIDDEN),
        "embeddings.token_type_embeddings.weight": (2, HIDDEN),
    }
    linears, norms = {}, ["embeddings.LayerNorm"]
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}."
        linears |= {f"{layer}attention.self.{part}": (HIDDEN, HIDDEN) for part in ("query", "key", "value")}
        linears |= {f"{layer}attention.output.dense": (HIDDEN, HIDDEN), f"{layer}intermediate.dense": (FEED, HIDDEN)}
        linears[f"{layer}output.dense"] = (HIDDEN, FEED)
        norms += [f"{layer}attention.output.LayerNorm", f"{layer}output.LayerNorm"]
    for name, shape in (linears | dict.fromkeys(norms, (HIDDEN,))).items():
        found |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return found


def _count(shape):
    return shape[0] * (shape[1] if len(shape) > 1 else 1)
