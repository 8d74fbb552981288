"""The Llama family: Llama 2 and 3 and what is made of them, Mistral, Mixtral and Qwen2."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from openvino import opset15 as op

from penstock_engine import graph
from penstock_engine.architectures.frame import Frame
from penstock_engine.architectures.members import MEMBERS, Member
from penstock_engine.architectures.mixtral import MixtralExperts
from penstock_engine.architectures.plan import Kind, Plan
from penstock_engine.attention import Heads
from penstock_engine.errors import UnsupportedModel
from penstock_engine.experts import Routing
from penstock_engine.fusion import feed_forward
from penstock_engine.rope import Rope, read_rope
from penstock_engine.work import Precision

if TYPE_CHECKING:
    from penstock_engine.config import Config
    from penstock_engine.weights import Weights

OTHER_MATHS = ("attn_logit_softcapping", "final_logit_softcapping", "use_qk_norm", "qk_layernorm", "use_mrope")


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
    input_biases: bool
    """Of queries, keys and values."""
    output_bias: bool
    mlp_bias: bool
    routing: Routing | None
    """Of a mixture of experts, None for the one feed-forward layer that others have."""


def plan_llama(config: Config) -> Plan:
    """Raises UnsupportedModel on a setting that changes the maths in a way that this file does not compute."""
    member = MEMBERS[config.text("model_type")]
    _refuse_other_maths(config, member)
    heads = _heads(config, member)
    biases = member.biases and config.flag("attention_bias", default=False)
    llama = Llama(
        hidden=config.integer("hidden_size"),
        inner=config.integer("intermediate_size"),
        layers=config.integer("num_hidden_layers", high=1000),
        heads=heads,
        vocab=config.integer("vocab_size"),
        epsilon=config.number("rms_norm_eps", member.epsilon),
        rope=read_rope(config, heads.size, member.theta),
        tied=config.flag("tie_word_embeddings", default=False),
        input_biases=biases or member.input_biases,
        output_bias=biases,
        mlp_bias=member.biases and config.flag("mlp_bias", default=False),
        routing=_routing(config) if member.experts else None,
    )
    return Plan(
        kind=Kind.DECODER,
        context=config.integer("max_position_embeddings", member.context),
        width=llama.vocab,
        vocab=llama.vocab,
        build=partial(_build, llama),
        adaptable=True,
        ignorable=(r".*\.rotary_emb\.inv_freq", *((r"lm_head\.weight",) if llama.tied else ())),
    )


def _refuse_other_maths(config: Config, member: Member) -> None:
    if (activation := config.text("hidden_act", "silu")) != "silu":
        raise UnsupportedModel(f"hidden_act {activation!r:.60} is not supported: only silu is")
    kinds = set(config.texts("layer_types"))
    if len(kinds) > 1 or not kinds <= {"full_attention", "sliding_attention"}:
        raise UnsupportedModel("layer_types that differ between layers are not supported")
    others = OTHER_MATHS if member.experts else (*OTHER_MATHS, "num_local_experts")
    for name in others:
        if config.has(name) and config.fields[name] is not False:
            raise UnsupportedModel(f"{name} is not supported")


def _heads(config: Config, member: Member) -> Heads:
    hidden, queries = config.integer("hidden_size"), config.integer("num_attention_heads")
    absent = "num_key_value_heads" not in config.fields
    keys = config.integer("num_key_value_heads", member.keys if absent and member.keys else queries)
    if queries % keys:
        raise UnsupportedModel(f"num_attention_heads {queries} is not a multiple of num_key_value_heads {keys}")
    size = config.integer("head_dim", hidden // queries)
    if size % 2:
        raise UnsupportedModel(f"head_dim must be even, not {size}")
    return Heads(queries, keys, size, _window(config, member))


def _window(config: Config, member: Member) -> int:
    """Tokens of the sliding window, 0 for none."""
    if member.optional_window:
        if config.flag("use_sliding_window", default=False):
            raise UnsupportedModel("use_sliding_window is not supported: its layers differ")
        return 0
    if config.has("sliding_window") and not member.windows:
        raise UnsupportedModel(f"sliding_window in a {config.text('model_type')} model is not supported")
    return config.integer("sliding_window", 0 if "sliding_window" in config.fields else member.window)


def _routing(config: Config) -> Routing:
    experts, chosen = config.integer("num_local_experts", 8, high=1024), config.integer("num_experts_per_tok", 2)
    if chosen > experts:
        raise UnsupportedModel(f"num_experts_per_tok {chosen} is more than num_local_experts {experts}")
    return Routing(experts, chosen)


def _build(llama: Llama, weights: Weights) -> graph.Node:
    """See `Frame`."""
    frame = Frame(adaptable=weights.adaptable)
    layers = _Layers(llama, weights, frame)
    embedding = weights.matrix(("model.embed_tokens.weight", llama.vocab), inputs=llama.hidden)
    x = graph.rows_of(embedding, frame.ids)
    for number in range(llama.layers):
        name = f"model.layers.{number}."
        x = op.add(x, layers.attention(layers.norm(x, name + "input_layernorm"), name + "self_attn."))
        x = op.add(x, layers.feed_forward(layers.norm(x, name + "post_attention_layernorm"), name))
    head = embedding if llama.tied else weights.matrix(("lm_head.weight", llama.vocab), inputs=llama.hidden)
    return frame.finish(x, lambda rows: graph.linear(layers.norm(rows, "model.norm"), head))


class _Layers:
    """The parts of a layer, and what they share."""

    def __init__(self, llama: Llama, weights: Weights, frame: Frame) -> None:
        self._llama = llama
        self._weights = weights
        self._paged = frame.paged
        self._deltas = frame.deltas
        self._tables = graph.rope_tables(frame.positions(), llama.rope)
        in_8_bits = weights.precision is Precision.INT8 and not llama.mlp_bias and llama.routing is None
        self._fused = in_8_bits and not weights.adaptable and weights.fusion.allows(llama.hidden, llama.inner)
        self._experts = MixtralExperts(llama.hidden, llama.inner, llama.routing, weights) if llama.routing else None

    def norm(self, x: graph.Node, name: str) -> graph.Node:
        weight = self._weights.vector((name + ".weight", self._llama.hidden))
        return graph.rms_norm(x, weight, self._llama.epsilon)

    def attention(self, x: graph.Node, name: str) -> graph.Node:
        heads, hidden = self._llama.heads, self._llama.hidden
        wide, narrow = heads.queries * heads.size, heads.keys * heads.size
        parts = ((name + "q_proj", wide), (name + "k_proj", narrow), (name + "v_proj", narrow))
        together = self._linear(x, *parts, inputs=hidden, bias=self._llama.input_biases)
        query, key, value = graph.split(together, 1, (wide, narrow, narrow))
        query = graph.rotated(query, self._tables, heads.queries, heads.size)
        key = graph.rotated(key, self._tables, heads.keys, heads.size)
        mixed = self._paged.layer(query, key, op.reshape(value, graph.i64(-1, narrow), False), heads)
        return self._linear(mixed, (name + "o_proj", hidden), inputs=wide, bias=self._llama.output_bias)

    def feed_forward(self, x: graph.Node, name: str) -> graph.Node:
        return self._mlp(x, name + "mlp.") if self._experts is None else self._experts.layer(x, name)

    def _mlp(self, x: graph.Node, name: str) -> graph.Node:
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
        if bias:
            y = op.add(y, self._weights.vector(*((name + ".bias", outputs) for name, outputs in parts)))
        return y if self._deltas is None else self._deltas.added(y, x, parts, inputs)

    def _weight(self, *parts: tuple[str, int], inputs: int, symmetric: bool = True) -> graph.Node:
        names = ((name + ".weight", outputs) for name, outputs in parts)
        return self._weights.matrix(*names, inputs=inputs, symmetric=symmetric)
