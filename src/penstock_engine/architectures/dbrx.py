"""DBRX: a mixture of experts whose matrices are stored in one piece, clipped queries, keys and values, no biases."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from openvino import opset15 as op

from penstock_engine import graph
from penstock_engine.architectures.frame import Frame
from penstock_engine.architectures.plan import Kind, Plan
from penstock_engine.attention import Heads
from penstock_engine.config import Config
from penstock_engine.errors import UnsupportedModel
from penstock_engine.experts import Routing, mixture
from penstock_engine.rope import DEFAULT_THETA, Rope, kind_of, plain_rope, scaling_of, theta_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from penstock_engine.weights import Weights

EPSILON = 1e-5
"""Of every norm; the configuration has no field for it."""


@dataclass(frozen=True, slots=True)
class Dbrx:
    """What config.json says of a DBRX."""

    hidden: int
    inner: int
    layers: int
    heads: Heads
    vocab: int
    rope: Rope
    clip: float
    """Of queries, keys and values; 0: none."""
    routing: Routing


def plan_dbrx(config: Config) -> Plan:
    """Raises UnsupportedModel on a setting that changes the maths in a way that this file does not compute."""
    attention, experts = (
        config.part(name) or Config({}, f"config.json: {name}") for name in ("attn_config", "ffn_config")
    )
    if config.flag("tie_word_embeddings", default=False):
        raise UnsupportedModel("tie_word_embeddings is not supported")
    activation = experts.part("ffn_act_fn")
    if activation is not None and (name := activation.text("name", "silu")) != "silu":
        raise UnsupportedModel(f"ffn_act_fn {name!r:.60} is not supported: only silu is")
    hidden = config.integer("d_model", 2048)
    heads = _heads(config, attention, hidden)
    dbrx = Dbrx(
        hidden=hidden,
        inner=experts.integer("ffn_hidden_size", 3584),
        layers=config.integer("n_layers", 24, high=1000),
        heads=heads,
        vocab=config.integer("vocab_size", 32_000),
        rope=_rope(config, attention, heads.size),
        clip=attention.number("clip_qkv") if attention.has("clip_qkv") else 0.0,
        routing=_routing(experts),
    )
    return Plan(
        kind=Kind.DECODER,
        context=config.integer("max_seq_len", 2048),
        width=dbrx.vocab,
        vocab=dbrx.vocab,
        build=partial(_build, dbrx),
    )


def _heads(config: Config, attention: Config, hidden: int) -> Heads:
    queries, keys = config.integer("n_heads", 16), attention.integer("kv_n_heads", 1)
    if hidden % queries or queries % keys:
        raise UnsupportedModel(f"d_model {hidden}, n_heads {queries} and kv_n_heads {keys} must divide each other")
    return Heads(queries, keys, hidden // queries)


def _routing(experts: Config) -> Routing:
    count, chosen = experts.integer("moe_num_experts", 4, high=1024), experts.integer("moe_top_k", 1)
    if chosen > count:
        raise UnsupportedModel(f"moe_top_k {chosen} is more than moe_num_experts {count}")
    norm = experts.fields.get("moe_normalize_expert_weights", 1)
    if norm is not None and norm != 1:
        raise UnsupportedModel(f"moe_normalize_expert_weights {norm!r:.60} is not supported: only 1 and null are")
    return Routing(count, chosen, normalised=norm is not None)


def _rope(config: Config, attention: Config, head_dim: int) -> Rope:
    """The authors' base is in attn_config; transformers 5 reads it from rope_parameters alone, and writes 10,000 there.

    So where both are given and differ, 10,000 is what was filled in. Anything else would be a guess.
    """
    if (kind := kind_of(scaling_of(config))) != "default":
        raise UnsupportedModel(f"rope type {kind!r:.60} is not supported in a dbrx model")
    theta = theta_of(config)
    if attention.has("rope_theta"):
        own = attention.number("rope_theta")
        if theta not in {own, DEFAULT_THETA}:
            raise UnsupportedModel(f"rope_theta is {theta:g}, but attn_config has {own:g}")
        theta = own
    return plain_rope(theta, head_dim)


def _build(dbrx: Dbrx, weights: Weights) -> graph.Node:
    """See `Frame`."""
    frame = Frame()
    layers = _Layers(dbrx, weights, frame)
    x = graph.rows_of(weights.matrix(("transformer.wte.weight", dbrx.vocab), inputs=dbrx.hidden), frame.ids)
    for number in range(dbrx.layers):
        name = f"transformer.blocks.{number}."
        both = name + "norm_attn_norm."
        x = op.add(x, layers.attention(layers.norm(x, both + "norm_1"), both + "attn."))
        x = op.add(x, layers.feed_forward(layers.norm(x, both + "norm_2"), name + "ffn."))
    head = weights.matrix(("lm_head.weight", dbrx.vocab), inputs=dbrx.hidden)
    return frame.finish(x, lambda rows: graph.linear(layers.norm(rows, "transformer.norm_f"), head))


class _Layers:
    """The parts of a layer, and what they share."""

    def __init__(self, dbrx: Dbrx, weights: Weights, frame: Frame) -> None:
        self._dbrx = dbrx
        self._weights = weights
        self._paged = frame.paged
        self._tables = graph.rope_tables(frame.positions(), dbrx.rope)

    def norm(self, x: graph.Node, name: str) -> graph.Node:
        return graph.layer_norm(x, self._weights.vector((f"{name}.weight", self._dbrx.hidden)), None, EPSILON)

    def attention(self, x: graph.Node, name: str) -> graph.Node:
        heads, hidden = self._dbrx.heads, self._dbrx.hidden
        narrow = heads.keys * heads.size
        weight = self._weights.matrix((f"{name}Wqkv.weight", hidden + 2 * narrow), inputs=hidden)
        together = graph.clipped(graph.linear(x, weight), self._dbrx.clip)
        query, key, value = graph.split(together, 1, (hidden, narrow, narrow))
        query = graph.rotated(query, self._tables, heads.queries, heads.size)
        key = graph.rotated(key, self._tables, heads.keys, heads.size)
        mixed = self._paged.layer(query, key, op.reshape(value, graph.i64(-1, narrow), False), heads)
        return graph.linear(mixed, self._weights.matrix((f"{name}out_proj.weight", hidden), inputs=hidden))

    def feed_forward(self, x: graph.Node, name: str) -> graph.Node:
        count = self._dbrx.routing.experts
        router = graph.f32(self._weights.array(f"{name}router.layer.weight", (count, self._dbrx.hidden)))
        experts = [partial(self._expert, f"{name}experts.mlp.", number) for number in range(count)]
        return mixture(x, graph.linear(x, router), self._dbrx.routing, experts)

    def _expert(self, name: str, number: int, rows: graph.Node) -> graph.Node:
        gate, up, down = (self._matrix(name, part, number) for part in ("w1", "v1", "w2"))
        both = op.multiply(graph.silu(graph.linear(rows, gate)), graph.linear(rows, up))
        return graph.linear(both, down)

    def _matrix(self, name: str, part: str, number: int) -> graph.Node:
        """All experts' rows lie below each other; w2 is stored as it stands in x w2, without a transpose."""
        hidden, inner = self._dbrx.hidden, self._dbrx.inner

        def cut(rows: NDArray[np.generic]) -> NDArray[np.generic]:
            own = rows[number * inner : (number + 1) * inner]
            return own.T if part == "w2" else own

        return self._weights.piece(name + part, (self._dbrx.routing.experts * inner, hidden), str(number), cut)
