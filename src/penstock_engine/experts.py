"""A mixture of experts: each token goes through the few feed-forward layers that a router chooses for it.

Every expert is an ordinary layer over the rows that were sent to it; one without rows costs next to nothing. The
library's own fused form is three to four times slower at prefill.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from openvino import opset15 as op

from penstock_engine import graph

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Expert = Callable[[graph.Node], graph.Node]
    """Rows [t, hidden] to rows of the same shape."""


@dataclass(frozen=True, slots=True)
class Routing:
    """How many experts there are, and how many each token is sent to.

    normalised: the weights of the chosen ones are divided by their sum.
    """

    experts: int
    chosen: int
    normalised: bool = True


def mixture(x: graph.Node, scores: graph.Node, routing: Routing, experts: Sequence[Expert]) -> graph.Node:
    """X [T, hidden] and the router's scores [T, experts] -> [T, hidden]."""
    shares = op.split(_shares(x, scores, routing), op.constant(np.int64(1)), routing.experts).outputs()
    rows, answers = [], []
    for expert, share in zip(experts, shares, strict=True):
        column = op.reshape(share, graph.i64(-1), False)
        mine = op.reshape(op.non_zero(column, "i64"), graph.i64(-1), False)
        answer = expert(graph.rows_of(x, mine))
        rows.append(mine)
        answers.append(op.multiply(answer, op.unsqueeze(graph.rows_of(column, mine), graph.i64(1))))
    nothing = op.broadcast(graph.f32(0.0), op.shape_of(x, "i64"))
    places = op.unsqueeze(op.concat(rows, 0), graph.i64(1))
    return op.scatter_nd_update(nothing, places, op.concat(answers, 0), reduction="sum")


def _shares(x: graph.Node, scores: graph.Node, routing: Routing) -> graph.Node:
    """[T, experts]: what part each expert has in a token, 0 for those that were not chosen."""
    best = op.topk(op.softmax(scores, 1), op.constant(np.int64(routing.chosen)), 1, "max", "value", "i64")
    weights, numbers = best.output(0), best.output(1)
    if routing.normalised:
        weights = op.divide(weights, op.reduce_sum(weights, graph.i64(1), True))
    tokens = op.gather(op.shape_of(x, "i64"), graph.i64(0), graph.i64(0))
    nothing = op.broadcast(graph.f32(0.0), op.concat([tokens, graph.i64(routing.experts)], 0))
    return op.scatter_elements_update(nothing, numbers, weights, op.constant(np.int64(1)))
