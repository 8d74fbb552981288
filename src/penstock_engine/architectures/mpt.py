"""MPT: positions only as ALiBi's slopes, one matrix for queries, keys and values, GELU, and mostly no biases.

Follows the authors' own classes where the reference implementation leaves a setting out: it takes `alibi_bias_max`
for 8, `expansion_ratio` for 4, `no_bias` for true, and `logit_scale` for none, whatever the configuration says.
"""

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

if TYPE_CHECKING:
    from penstock_engine.weights import Weights

INVERSE_ROOT = "inv_sqrt_d_model"
NORMS = ("low_precision_layernorm", "layernorm")
"""The first is the second with its sums in 16 bits while training."""


@dataclass(frozen=True, slots=True)
class Mpt:
    """What config.json says of an MPT."""

    hidden: int
    inner: int
    layers: int
    heads: Heads
    vocab: int
    epsilon: float
    clip: float
    """Of queries, keys and values; 0: none."""
    biases: bool
    scale: float
    """Of the logits."""
    tied: bool


def plan_mpt(config: Config) -> Plan:
    """Raises UnsupportedModel on a setting that changes the maths in a way that this file does not compute."""
    attention = config.part("attn_config") or Config({}, "config.json: attn_config")
    _refuse_other_maths(config, attention)
    hidden = config.integer("d_model", 2048)
    mpt = Mpt(
        hidden=hidden,
        inner=hidden * config.integer("expansion_ratio", 4, high=64),
        layers=config.integer("n_layers", 24, high=1000),
        heads=_heads(config, attention, hidden),
        vocab=config.integer("vocab_size", 50_368),
        epsilon=config.number("layer_norm_epsilon", 1e-5),
        clip=attention.number("clip_qkv") if attention.has("clip_qkv") else 0.0,
        biases=not config.flag("no_bias", default=True),
        scale=_logit_scale(config, hidden),
        tied=config.flag("tie_word_embeddings", default=True),
    )
    return Plan(
        kind=Kind.DECODER,
        context=config.integer("max_seq_len", 2048),
        width=mpt.vocab,
        vocab=mpt.vocab,
        build=partial(_build, mpt),
        ignorable=(r"lm_head\.weight",) if mpt.tied else (),
    )


def _refuse_other_maths(config: Config, attention: Config) -> None:
    if not attention.flag("alibi", default=True):
        raise UnsupportedModel("attn_config: alibi false is not supported: learned positions are not computed")
    if (kind := attention.text("attn_type", "multihead_attention")) != "multihead_attention":
        raise UnsupportedModel(f"attn_config: attn_type {kind!r:.60} is not supported: only multihead_attention is")
    for name in ("prefix_lm", "qk_ln", "qk_gn", "rope", "attn_uses_sequence_id"):
        if attention.flag(name, default=False):
            raise UnsupportedModel(f"attn_config: {name} is not supported")
    if attention.has("sliding_window_size") and attention.fields["sliding_window_size"] != -1:
        raise UnsupportedModel("attn_config: sliding_window_size is not supported")
    if (norm := config.text("norm_type", NORMS[0])) not in NORMS:
        raise UnsupportedModel(f"norm_type {norm!r:.60} is not supported: only {' and '.join(NORMS)} are")
    feed_forward = config.part("ffn_config")
    if feed_forward is not None and (kind := feed_forward.text("ffn_type", "mptmlp")) != "mptmlp":
        raise UnsupportedModel(f"ffn_config: ffn_type {kind!r:.60} is not supported: only mptmlp is")


def _heads(config: Config, attention: Config, hidden: int) -> Heads:
    heads = config.integer("n_heads", 16)
    if hidden % heads:
        raise UnsupportedModel(f"d_model {hidden} is not a multiple of n_heads {heads}")
    slopes = alibi_slopes(heads, attention.number("alibi_bias_max", 8))
    scale = attention.number("softmax_scale") if attention.has("softmax_scale") else 0.0
    return Heads(heads, heads, hidden // heads, slopes=slopes, scale=scale)


def alibi_slopes(heads: int, largest: float) -> tuple[float, ...]:
    """2^-(largest/n), 2^-(2 largest/n), ...; of the next power of two, every second one first, if heads is none."""
    whole = 1 << (heads - 1).bit_length()
    slopes = [2.0 ** (-largest * number / whole) for number in range(1, whole + 1)]
    return tuple(slopes if whole == heads else [*slopes[1::2], *slopes[::2]][:heads])


def _logit_scale(config: Config, hidden: int) -> float:
    if config.fields.get("logit_scale") == INVERSE_ROOT:
        return float(hidden**-0.5)
    return config.number("logit_scale", 1.0)


def _build(mpt: Mpt, weights: Weights) -> graph.Node:
    """See `Frame`."""
    frame = Frame()
    layers = _Layers(mpt, weights, frame)
    embedding = weights.matrix(("transformer.wte.weight", mpt.vocab), inputs=mpt.hidden)
    x = graph.rows_of(embedding, frame.ids)
    for number in range(mpt.layers):
        name = f"transformer.blocks.{number}."
        x = op.add(x, layers.attention(layers.norm(x, name + "norm_1"), name + "attn."))
        x = op.add(x, layers.mlp(layers.norm(x, name + "norm_2"), name + "ffn."))
    head = embedding if mpt.tied else weights.matrix(("lm_head.weight", mpt.vocab), inputs=mpt.hidden)

    def logits(rows: graph.Node) -> graph.Node:
        found = graph.linear(layers.norm(rows, "transformer.norm_f"), head)
        return found if mpt.scale == 1.0 else op.multiply(found, graph.f32(mpt.scale))

    return frame.finish(x, logits)


class _Layers:
    """The parts of a layer."""

    def __init__(self, mpt: Mpt, weights: Weights, frame: Frame) -> None:
        self._mpt = mpt
        self._weights = weights
        self._paged = frame.paged

    def norm(self, x: graph.Node, name: str) -> graph.Node:
        hidden, biases = self._mpt.hidden, self._mpt.biases
        bias = self._weights.vector((f"{name}.bias", hidden)) if biases else None
        return graph.layer_norm(x, self._weights.vector((f"{name}.weight", hidden)), bias, self._mpt.epsilon)

    def attention(self, x: graph.Node, name: str) -> graph.Node:
        hidden = self._mpt.hidden
        together = graph.clipped(self._linear(x, name + "Wqkv", hidden, 3 * hidden), self._mpt.clip)
        query, key, value = (
            op.reshape(part, graph.i64(-1, hidden), False) for part in graph.split(together, 1, [hidden] * 3)
        )
        mixed = self._paged.layer(query, key, value, self._mpt.heads)
        return self._linear(mixed, name + "out_proj", hidden, hidden)

    def mlp(self, x: graph.Node, name: str) -> graph.Node:
        inner = op.gelu(self._linear(x, name + "up_proj", self._mpt.hidden, self._mpt.inner), "erf")
        return self._linear(inner, name + "down_proj", self._mpt.inner, self._mpt.hidden)

    def _linear(self, x: graph.Node, name: str, inputs: int, outputs: int) -> graph.Node:
        y = graph.linear(x, self._weights.matrix((f"{name}.weight", outputs), inputs=inputs))
        return op.add(y, self._weights.vector((f"{name}.bias", outputs))) if self._mpt.biases else y
