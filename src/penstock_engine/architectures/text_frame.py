"""What the graphs of all encoders have in common: their inputs, attention over a text's own tokens, the vector."""

from __future__ import annotations

from openvino import Type
from openvino import opset15 as op

from penstock_engine import graph
from penstock_engine.architectures.text_head import Pooling, pooled

MASKED = -1e9
"""Added to the attention scores of padding."""


class TextFrame:
    """Inputs: input_ids and attention_mask, i64 [B, L]."""

    def __init__(self) -> None:
        self.ids = graph.parameter("input_ids", [-1, -1], Type.i64)
        self._mask = graph.parameter("attention_mask", [-1, -1], Type.i64)
        bias = op.multiply(op.subtract(graph.f32(1.0), op.convert(self._mask, "f32")), graph.f32(MASKED))
        self._bias = op.unsqueeze(bias, graph.i64(1, 2))

    def first_rows(self, table: graph.Node) -> graph.Node:
        """As many rows of a table [positions, ...] as the longest text of the batch has tokens: [L, ...]."""
        length = op.gather(op.shape_of(self.ids, "i64"), graph.i64(1), graph.i64(0))
        return op.slice(table, graph.i64(0), length, graph.i64(1), graph.i64(0))

    def attention(self, query: graph.Node, key: graph.Node, value: graph.Node, hidden: int) -> graph.Node:
        """[B, heads, L, size] each -> [B, L, hidden]."""
        mixed = op.scaled_dot_product_attention(query, key, value, self._bias)
        return op.reshape(op.transpose(mixed, graph.i64(0, 2, 1, 3)), graph.i64(0, 0, hidden), True)

    def finish(self, states: graph.Node, pooling: Pooling) -> graph.Node:
        """The graph whose output is the texts' vectors, not scaled to any length: f32 [B, hidden]."""
        return graph.model(pooled(states, self._mask, pooling), "embedding", [self.ids, self._mask])


def in_heads(x: graph.Node, heads: int, size: int) -> graph.Node:
    """[B, L, heads * size] -> [B, heads, L, size]."""
    return op.transpose(op.reshape(x, graph.i64(0, 0, heads, size), True), graph.i64(0, 2, 1, 3))
