"""GTE v1.5: a BERT with rotary positions and a gated feed-forward layer, whose vectors keep their length.

Stored in two ways: as its authors do (model_type `new`), and as transformers 5 does (`gte`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from openvino import opset15 as op

from penstock_engine import graph
from penstock_engine.architectures.plan import Kind, Plan
from penstock_engine.architectures.text_frame import TextFrame, in_heads
from penstock_engine.architectures.text_head import Pooling, TextHead
from penstock_engine.errors import UnsupportedModel
from penstock_engine.rope import DEFAULT_THETA, Rope, kind_of, ntk_rope, plain_rope, scaling_of, theta_of

if TYPE_CHECKING:
    from penstock_engine.config import Config
    from penstock_engine.weights import Weights

NATIVE = "gte"
NATIVE_THETA = 160_000.0
"""The base of rotation where a configuration of transformers 5 does not say."""


@dataclass(frozen=True, slots=True)
class Names:
    """What a layer's parts are called; one name for several matrices: their rows lie below each other."""

    layer: str
    queries_keys_values: tuple[str, ...]
    output: str
    up_gate: tuple[str, ...]
    attention_norm: str
    mlp_norm: str


OWN = Names(
    layer="encoder.layer.",
    queries_keys_values=("attention.qkv_proj",),
    output="attention.o_proj",
    up_gate=("mlp.up_gate_proj",),
    attention_norm="attn_ln",
    mlp_norm="mlp_ln",
)
TRANSFORMERS_5 = Names(
    layer="layers.",
    queries_keys_values=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    output="self_attn.o_proj",
    up_gate=("mlp.up_proj", "mlp.gate_proj"),
    attention_norm="post_attention_layernorm",
    mlp_norm="post_mlp_layernorm",
)


@dataclass(frozen=True, slots=True)
class Gte:
    """What config.json says of a GTE."""

    hidden: int
    inner: int
    layers: int
    heads: int
    vocab: int
    context: int
    segments: int
    epsilon: float
    rope: Rope


def plan_gte(config: Config, head: TextHead) -> Plan:
    """Raises UnsupportedModel on a setting that changes the maths in a way that this file does not compute."""
    _refuse_other_maths(config)
    hidden, heads = config.integer("hidden_size", 768), config.integer("num_attention_heads", 12)
    if hidden % (2 * heads):
        raise UnsupportedModel(f"hidden_size {hidden} is not an even multiple of num_attention_heads {heads}")
    gte = Gte(
        hidden=hidden,
        inner=config.integer("intermediate_size", 3072),
        layers=config.integer("num_hidden_layers", 12, high=1000),
        heads=heads,
        vocab=config.integer("vocab_size", 30_528),
        context=config.integer("max_position_embeddings", 8192),
        segments=config.integer("type_vocab_size", 1, low=0),
        epsilon=config.number("layer_norm_eps", 1e-12),
        rope=_rope(config, hidden // heads),
    )
    return Plan(
        kind=Kind.ENCODER,
        context=gte.context,
        width=gte.hidden,
        vocab=gte.vocab,
        build=partial(_build, gte, head.pooling or Pooling.FIRST),
        ignorable=(r"((new|gte)\.)?pooler\..*", r"lm_head\..*"),
        normalised=bool(head.normalised),
    )


def _refuse_other_maths(config: Config) -> None:
    for name, only in (
        ("hidden_act", "gelu"),
        ("position_embedding_type", "rope"),
        ("layer_norm_type", "layer_norm"),
    ):
        if (value := config.text(name, only)) != only:
            raise UnsupportedModel(f"{name} {value!r:.60} is not supported: only {only} is")
    if not config.flag("pack_qkv", default=True):
        raise UnsupportedModel("pack_qkv false is not supported")
    if config.flag("logn_attention_scale", default=False):
        raise UnsupportedModel("logn_attention_scale is not supported")


def _rope(config: Config, head_dim: int) -> Rope:
    native = config.text("model_type") == NATIVE
    theta, scaling = theta_of(config, NATIVE_THETA if native else DEFAULT_THETA), scaling_of(config)
    kind = kind_of(scaling)
    if scaling is None or kind == "default":
        return plain_rope(theta, head_dim)
    if kind != "ntk":
        raise UnsupportedModel(f"rope type {kind!r:.60} is not supported: only default and ntk are")
    mixed = scaling.number("mixed_b") if scaling.has("mixed_b") else None
    return ntk_rope(theta, head_dim, scaling.number("factor"), mixed)


def _build(gte: Gte, pooling: Pooling, weights: Weights) -> graph.Node:
    """See `TextFrame`."""
    frame = TextFrame()
    layers = _Layers(gte, weights, frame)
    x = layers.embedded()
    for number in range(gte.layers):
        name = f"{layers.names.layer}{number}."
        x = layers.norm(op.add(x, layers.attention(x, name)), name + layers.names.attention_norm)
        x = layers.norm(op.add(x, layers.mlp(x, name)), name + layers.names.mlp_norm)
    return frame.finish(x, pooling)


class _Layers:
    """The parts of a layer; names are relative to the checkpoint's prefix."""

    def __init__(self, gte: Gte, weights: Weights, frame: TextFrame) -> None:
        self._gte = gte
        self._weights = weights
        self._frame = frame
        words = "embeddings.word_embeddings.weight"
        self._prefix = next((prefix for prefix in ("new.", "gte.") if prefix + words in weights), "")
        own = f"{self._prefix}{OWN.layer}0.{OWN.attention_norm}.weight"
        self.names = OWN if own in weights else TRANSFORMERS_5
        # in 32 bits before the graph: in 16 bits, positions above 256 would melt into each other
        angles = np.arange(gte.context)[:, None] * np.tile(gte.rope.inverse_frequencies, 2)
        self._tables = tuple(frame.first_rows(graph.f32(table)) for table in (np.cos(angles), np.sin(angles)))

    def embedded(self) -> graph.Node:
        gte, name = self._gte, self._prefix + "embeddings."
        words = self._weights.matrix((name + "word_embeddings.weight", gte.vocab), inputs=gte.hidden)
        x = graph.rows_of(words, self._frame.ids)
        if gte.segments:  # texts have one segment: its row is the same everywhere
            segments = self._weights.array(name + "token_type_embeddings.weight", (gte.segments, gte.hidden))
            x = op.add(x, graph.f32(segments[0]))
        return self.norm(x, "embeddings.LayerNorm")

    def norm(self, x: graph.Node, name: str) -> graph.Node:
        weight, bias = (
            self._weights.vector((f"{self._prefix}{name}.{part}", self._gte.hidden)) for part in ("weight", "bias")
        )
        return graph.layer_norm(x, weight, bias, self._gte.epsilon)

    def attention(self, x: graph.Node, name: str) -> graph.Node:
        hidden, heads = self._gte.hidden, self._gte.heads
        together = self._linear(x, name, self.names.queries_keys_values, (hidden, 3 * hidden))
        query, key, value = (in_heads(part, heads, hidden // heads) for part in graph.split(together, 2, [hidden] * 3))
        query, key = (graph.turned(each, self._tables, hidden // heads) for each in (query, key))
        mixed = self._frame.attention(query, key, value, hidden)
        return self._linear(mixed, name, (self.names.output,), (hidden, hidden))

    def mlp(self, x: graph.Node, name: str) -> graph.Node:
        hidden, inner = self._gte.hidden, self._gte.inner
        both = self._linear(x, name, self.names.up_gate, (hidden, 2 * inner), bias=False)
        up, gate = graph.split(both, 2, (inner, inner))
        return self._linear(op.multiply(op.gelu(gate, "erf"), up), name, ("mlp.down_proj",), (inner, hidden))

    def _linear(
        self, x: graph.Node, name: str, parts: tuple[str, ...], sizes: tuple[int, int], *, bias: bool = True
    ) -> graph.Node:
        """Sizes: inputs and outputs of all parts together; the parts are of equal size."""
        inputs, outputs = sizes
        rows = [(f"{self._prefix}{name}{part}", outputs // len(parts)) for part in parts]
        y = graph.linear(x, self._weights.matrix(*((f"{each}.weight", count) for each, count in rows), inputs=inputs))
        return op.add(y, self._weights.vector(*((f"{each}.bias", count) for each, count in rows))) if bias else y
