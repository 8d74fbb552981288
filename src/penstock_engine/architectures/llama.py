"""The Llama family: Llama 2, 3, 3.1, 3.2 and what is distilled into them; Mistral with its sliding window."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from openvino import Type
from openvino import opset15 as op

from penstock_engine import graph
from penstock_engine.architectures.plan import Kind, Plan
from penstock_engine.attention import Heads, PagedAttention
from penstock_engine.errors import UnsupportedModel
from penstock_engine.fusion import feed_forward
from penstock_engine.rope import Rope, read_rope
from penstock_engine.work import Precision

if TYPE_CHECKING:
    from penstock_engine.config import Config
    from penstock_engine.weights import Weights

MISTRAL_KEYS = 8
"""Key heads of a Mistral whose configuration does not say: the reference class's default."""
MISTRAL_WINDOW = 4096
"""Likewise its sliding window; null means none."""
LLAMA_CONTEXT, MISTRAL_CONTEXT = 2048, 131_072
OTHER_MATHS = ("attn_logit_softcapping", "final_logit_softcapping", "use_qk_norm", "qk_layernorm", "num_local_experts")


@dataclass(frozen=True, slots=True)
class Llama:
    """What config.json says of a member of the family."""

    hidden: int
    inner: int
    layers: int
    heads: Heads
    vocab: int
    epsilon: float
    rope: Rope
    tied: bool
    attention_bias: bool
    mlp_bias: bool


def plan_llama(config: Config) -> Plan:
    """Raises UnsupportedModel on a setting that changes the maths in a way that this file does not compute."""
    mistral = config.text("model_type") == "mistral"
    _refuse_other_maths(config)
    hidden, heads = config.integer("hidden_size"), _heads(config, mistral)
    llama = Llama(
        hidden=hidden,
        inner=config.integer("intermediate_size"),
        layers=config.integer("num_hidden_layers", high=1000),
        heads=heads,
        vocab=config.integer("vocab_size"),
        epsilon=config.number("rms_norm_eps", 1e-6),
        rope=read_rope(config, heads.size),
        tied=config.flag("tie_word_embeddings", default=False),
        attention_bias=not mistral and config.flag("attention_bias", default=False),
        mlp_bias=not mistral and config.flag("mlp_bias", default=False),
    )
    return Plan(
        kind=Kind.DECODER,
        context=config.integer("max_position_embeddings", MISTRAL_CONTEXT if mistral else LLAMA_CONTEXT),
        width=llama.vocab,
        vocab=llama.vocab,
        build=partial(_build, llama),
        ignorable=(r".*\.rotary_emb\.inv_freq", *((r"lm_head\.weight",) if llama.tied else ())),
    )


def _refuse_other_maths(config: Config) -> None:
    if (activation := config.text("hidden_act", "silu")) != "silu":
        raise UnsupportedModel(f"hidden_act {activation!r:.60} is not supported: only silu is")
    kinds = set(config.texts("layer_types"))
    if len(kinds) > 1 or not kinds <= {"full_attention", "sliding_attention"}:
        raise UnsupportedModel("layer_types that differ between layers are not supported")
    for name in OTHER_MATHS:
        if config.has(name) and config.fields[name] is not False:
            raise UnsupportedModel(f"{name} is not supported")


def _heads(config: Config, mistral: bool) -> Heads:
    hidden, queries = config.integer("hidden_size"), config.integer("num_attention_heads")
    keys = config.integer("num_key_value_heads", MISTRAL_KEYS if mistral else queries)
    if queries % keys:
        raise UnsupportedModel(f"num_attention_heads {queries} is not a multiple of num_key_value_heads {keys}")
    size = config.integer("head_dim", hidden // queries)
    if size % 2:
        raise UnsupportedModel(f"head_dim must be even, not {size}")
    if not mistral and config.has("sliding_window"):
        raise UnsupportedModel("sliding_window in a llama model is not supported")
    default = MISTRAL_WINDOW if mistral and "sliding_window" not in config.fields else 0
    return Heads(queries, keys, size, config.integer("sliding_window", default))


def _build(llama: Llama, weights: Weights) -> graph.Node:
    """Inputs: input_ids i64 [T], position_ids i32 [T], logit_rows i32 [R] and the paged cache's; logits f32 [R, vocab].

    Only the rows asked for go through the last norm and the head: most prompt tokens never do.
    """
    ids = graph.parameter("input_ids", [-1], Type.i64)
    positions = graph.parameter("position_ids", [-1], Type.i32)
    rows = graph.parameter("logit_rows", [-1], Type.i32)
    layers = _Layers(llama, weights, positions)
    embedding = weights.matrix(("model.embed_tokens.weight", llama.vocab), inputs=llama.hidden)
    x = graph.rows_of(embedding, ids)
    for number in range(llama.layers):
        name = f"model.layers.{number}."
        x = op.add(x, layers.attention(layers.norm(x, name + "input_layernorm"), name + "self_attn."))
        x = op.add(x, layers.mlp(layers.norm(x, name + "post_attention_layernorm"), name + "mlp."))
    x = layers.norm(graph.rows_of(x, rows), "model.norm")
    head = embedding if llama.tied else weights.matrix(("lm_head.weight", llama.vocab), inputs=llama.hidden)
    return graph.model(graph.linear(x, head), "logits", [ids, positions, rows, *layers.paged.inputs])


class _Layers:
    """The parts of a layer, and what they share."""

    def __init__(self, llama: Llama, weights: Weights, positions: graph.Node) -> None:
        self.paged = PagedAttention()
        self._llama = llama
        self._weights = weights
        self._tables = graph.rope_tables(positions, llama.rope)
        in_8_bits = weights.precision is Precision.INT8 and not llama.mlp_bias
        self._fused = in_8_bits and weights.fusion.allows(llama.hidden, llama.inner)

    def norm(self, x: graph.Node, name: str) -> graph.Node:
        weight = self._weights.vector((name + ".weight", self._llama.hidden))
        return graph.rms_norm(x, weight, self._llama.epsilon)

    def attention(self, x: graph.Node, name: str) -> graph.Node:
        heads, hidden, bias = self._llama.heads, self._llama.hidden, self._llama.attention_bias
        wide, narrow = heads.queries * heads.size, heads.keys * heads.size
        parts = ((name + "q_proj", wide), (name + "k_proj", narrow), (name + "v_proj", narrow))
        query, key, value = graph.split(self._linear(x, *parts, inputs=hidden, bias=bias), 1, (wide, narrow, narrow))
        query = graph.rotated(query, self._tables, heads.queries, heads.size)
        key = graph.rotated(key, self._tables, heads.keys, heads.size)
        mixed = self.paged.layer(query, key, op.reshape(value, graph.i64(-1, narrow), False), heads)
        return self._linear(mixed, (name + "o_proj", hidden), inputs=wide, bias=bias)

    def mlp(self, x: graph.Node, name: str) -> graph.Node:
        """In bf16 the library's fused form is slower at prefill and takes more memory: only 8-bit layers ask for it.

        Their weights are symmetric either way, so that what a machine cached does for one that cannot fuse.
        """
        inner, hidden, bias = self._llama.inner, self._llama.hidden, self._llama.mlp_bias
        gate, up = ((name + part, inner) for part in ("gate_proj", "up_proj"))
        down = (name + "down_proj", hidden)
        if self._fused:
            weights = (
                self._weight(gate, inputs=hidden),
                self._weight(up, inputs=hidden),
                self._weight(down, inputs=inner),
            )
            return feed_forward(x, *weights)
        gated, upped = (self._linear(x, part, inputs=hidden, bias=bias, symmetric=True) for part in (gate, up))
        return self._linear(op.multiply(graph.silu(gated), upped), down, inputs=inner, bias=bias, symmetric=True)

    def _linear(
        self, x: graph.Node, *parts: tuple[str, int], inputs: int, bias: bool, symmetric: bool = False
    ) -> graph.Node:
        y = graph.linear(x, self._weight(*parts, inputs=inputs, symmetric=symmetric))
        return op.add(y, self._weights.vector(*((name + ".bias", outputs) for name, outputs in parts))) if bias else y

    def _weight(self, *parts: tuple[str, int], inputs: int, symmetric: bool = True) -> graph.Node:
        names = ((name + ".weight", outputs) for name, outputs in parts)
        return self._weights.matrix(*names, inputs=inputs, symmetric=symmetric)
