"""Mixtral's feed-forward layer: a mixture of experts, stored one by one (transformers 4) or all in one (5)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from openvino import opset15 as op

from penstock_engine import graph
from penstock_engine.experts import mixture

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from penstock_engine.experts import Routing
    from penstock_engine.weights import Weights


class MixtralExperts:
    """Makes the layer of any block."""

    def __init__(self, hidden: int, inner: int, routing: Routing, weights: Weights) -> None:
        self._hidden = hidden
        self._inner = inner
        self._routing = routing
        self._weights = weights

    def layer(self, x: graph.Node, name: str) -> graph.Node:
        """X [T, hidden] -> the same; name: the block's, with a dot at its end."""
        old = f"{name}block_sparse_moe."
        name = old if f"{old}gate.weight" in self._weights else f"{name}mlp."
        router = graph.f32(self._weights.array(f"{name}gate.weight", (self._routing.experts, self._hidden)))
        experts = [partial(self._expert, name, number) for number in range(self._routing.experts)]
        return mixture(x, graph.linear(x, router), self._routing, experts)

    def _expert(self, name: str, number: int, rows: graph.Node) -> graph.Node:
        gate, up, down = self._matrices(name, number)
        both = op.multiply(graph.silu(graph.linear(rows, gate)), graph.linear(rows, up))
        return graph.linear(both, down)

    def _matrices(self, name: str, number: int) -> tuple[graph.Node, graph.Node, graph.Node]:
        hidden, inner, experts = self._hidden, self._inner, self._routing.experts
        weights, fused = self._weights, f"{name}experts.gate_up_proj"
        if fused not in weights:
            one = f"{name}experts.{number}."
            return (
                weights.matrix((f"{one}w1.weight", inner), inputs=hidden),
                weights.matrix((f"{one}w3.weight", inner), inputs=hidden),
                weights.matrix((f"{one}w2.weight", hidden), inputs=inner),
            )

        def rows(begin: int, end: int, all_: NDArray[np.generic]) -> NDArray[np.generic]:
            return all_[number, begin:end]

        both = (experts, 2 * inner, hidden)
        return (
            weights.piece(fused, both, f"{number} gate", partial(rows, 0, inner)),
            weights.piece(fused, both, f"{number} up", partial(rows, inner, 2 * inner)),
            weights.piece(f"{name}experts.down_proj", (experts, hidden, inner), str(number), partial(rows, 0, hidden)),
        )
