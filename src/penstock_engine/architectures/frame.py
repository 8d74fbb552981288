"""What the graphs of all decoders have in common: their inputs, and that few rows become logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openvino import Type

from penstock_engine import graph
from penstock_engine.attention import PagedAttention
from penstock_engine.deltas import Deltas

if TYPE_CHECKING:
    from collections.abc import Callable


class Frame:
    """Inputs: input_ids i64 [T], logit_rows i32 [R], the paged cache's, and position_ids i32 [T] once it is used.

    T are the new tokens of all sequences together; R the rows that are asked for.
    """

    def __init__(self, *, adaptable: bool = False) -> None:
        """Adaptable: with the inputs of adapters too, for layers that ask for them."""
        self.ids = graph.parameter("input_ids", [-1], Type.i64)
        self.paged = PagedAttention()
        self._rows = graph.parameter("logit_rows", [-1], Type.i32)
        self._positions: graph.Node | None = None
        self.deltas = Deltas() if adaptable else None

    def positions(self) -> graph.Node:
        """The tokens' places in their sequences."""
        if self._positions is None:
            self._positions = graph.parameter("position_ids", [-1], Type.i32)
        return self._positions

    def finish(self, x: graph.Node, logits: Callable[[graph.Node], graph.Node]) -> graph.Node:
        """The graph whose output is `logits` of the rows asked for: f32 [R, vocabulary].

        Most prompt tokens never go through the last norm and the head.
        """
        inputs = [self.ids, self._rows, *self.paged.inputs]
        if self._positions is not None:
            inputs.append(self._positions)
        if self.deltas is not None:
            inputs += self.deltas.inputs
        return graph.model(logits(graph.rows_of(x, self._rows)), "logits", inputs)
