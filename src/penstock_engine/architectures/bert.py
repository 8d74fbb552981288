"""BERT as a text embedding model: BGE takes the first token's last state, MiniLM the mean of all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from openvino import opset15 as op

from penstock_engine import graph
from penstock_engine.architectures.plan import Kind, Plan
from penstock_engine.architectures.text_frame import TextFrame, in_heads
from penstock_engine.architectures.text_head import Pooling, TextHead
from penstock_engine.errors import UnsupportedModel

if TYPE_CHECKING:
    from penstock_engine.config import Config
    from penstock_engine.weights import Weights


@dataclass(frozen=True, slots=True)
class Bert:
    """What config.json says of a BERT."""

    hidden: int
    inner: int
    layers: int
    heads: int
    vocab: int
    positions: int
    segments: int
    epsilon: float


def plan_bert(config: Config, head: TextHead) -> Plan:
    """Raises UnsupportedModel on a setting that changes the maths in a way that this file does not compute."""
    if (activation := config.text("hidden_act", "gelu")) != "gelu":
        raise UnsupportedModel(f"hidden_act {activation!r:.60} is not supported: only gelu is")
    if (kind := config.text("position_embedding_type", "absolute")) != "absolute":
        raise UnsupportedModel(f"position_embedding_type {kind!r:.60} is not supported: only absolute is")
    for name in ("is_decoder", "add_cross_attention"):
        if config.flag(name, default=False):
            raise UnsupportedModel(f"{name} is not supported")
    bert = Bert(
        hidden=config.integer("hidden_size", 768),
        inner=config.integer("intermediate_size", 3072),
        layers=config.integer("num_hidden_layers", 12, high=1000),
        heads=config.integer("num_attention_heads", 12),
        vocab=config.integer("vocab_size", 30_522),
        positions=config.integer("max_position_embeddings", 512),
        segments=config.integer("type_vocab_size", 2),
        epsilon=config.number("layer_norm_eps", 1e-12),
    )
    if bert.hidden % bert.heads:
        raise UnsupportedModel(f"hidden_size {bert.hidden} is not a multiple of num_attention_heads {bert.heads}")
    return Plan(
        kind=Kind.ENCODER,
        context=bert.positions,
        width=bert.hidden,
        vocab=bert.vocab,
        build=partial(_build, bert, head.pooling or Pooling.FIRST),
        # heads that an embedding does not pass through, and a table of numbers 0, 1, 2, ...
        ignorable=(r"(bert\.)?pooler\..*", r"cls\..*", r"(bert\.)?embeddings\.position_ids"),
        normalised=True if head.normalised is None else head.normalised,
    )


def _build(bert: Bert, pooling: Pooling, weights: Weights) -> graph.Node:
    """See `TextFrame`."""
    frame = TextFrame()
    layers = _Layers(bert, weights, "bert." if "bert.embeddings.word_embeddings.weight" in weights else "", frame)
    x = layers.embedded()
    for number in range(bert.layers):
        name = f"encoder.layer.{number}."
        x = layers.norm(op.add(x, layers.attention(x, name)), name + "attention.output.LayerNorm")
        x = layers.norm(op.add(x, layers.mlp(x, name)), name + "output.LayerNorm")
    return frame.finish(x, pooling)


class _Layers:
    """The parts of a layer; names are relative to the checkpoint's prefix."""

    def __init__(self, bert: Bert, weights: Weights, prefix: str, frame: TextFrame) -> None:
        self._bert = bert
        self._weights = weights
        self._prefix = prefix
        self._frame = frame

    def embedded(self) -> graph.Node:
        bert, name = self._bert, self._prefix + "embeddings."
        words = self._weights.matrix((name + "word_embeddings.weight", bert.vocab), inputs=bert.hidden)
        # texts have one segment: its row is the same everywhere
        segments = self._weights.array(name + "token_type_embeddings.weight", (bert.segments, bert.hidden))
        table = self._weights.array(name + "position_embeddings.weight", (bert.positions, bert.hidden))
        rows = op.unsqueeze(self._frame.first_rows(graph.f32(table + segments[0])), graph.i64(0))
        return self.norm(op.add(graph.rows_of(words, self._frame.ids), rows), "embeddings.LayerNorm")

    def norm(self, x: graph.Node, name: str) -> graph.Node:
        weight, bias = (
            self._weights.vector((f"{self._prefix}{name}.{part}", self._bert.hidden)) for part in ("weight", "bias")
        )
        return graph.layer_norm(x, weight, bias, self._bert.epsilon)

    def attention(self, x: graph.Node, name: str) -> graph.Node:
        hidden, heads = self._bert.hidden, self._bert.heads
        query, key, value = (
            in_heads(self._linear(x, f"{name}attention.self.{part}", hidden, hidden), heads, hidden // heads)
            for part in ("query", "key", "value")
        )
        mixed = self._frame.attention(query, key, value, hidden)
        return self._linear(mixed, name + "attention.output.dense", hidden, hidden)

    def mlp(self, x: graph.Node, name: str) -> graph.Node:
        inner = op.gelu(self._linear(x, name + "intermediate.dense", self._bert.hidden, self._bert.inner), "erf")
        return self._linear(inner, name + "output.dense", self._bert.inner, self._bert.hidden)

    def _linear(self, x: graph.Node, name: str, inputs: int, outputs: int) -> graph.Node:
        weight = self._weights.matrix((f"{self._prefix}{name}.weight", outputs), inputs=inputs)
        return op.add(graph.linear(x, weight), self._weights.vector((f"{self._prefix}{name}.bias", outputs)))
