"""What adapters add to linear layers, as inputs of the graph: several adapters at a time, chosen token by token.

For every layer that can be adapted there are two inputs, in which the matrices of all adapters lie below (`down`) and
beside (`up`) each other. Between the two products, `adapter_shares` keeps what belongs to a token's own adapter. So
adapters come and go without compiling anything, and tokens of different ones share a step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from openvino import Type
from openvino import opset15 as op

from penstock_engine import graph
from penstock_engine.errors import CheckpointError, UnsupportedModel

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from penstock_engine.adapter import Adapter

SHARES, DOWN, UP = "adapter_shares", "adapter_down.", "adapter_up."
"""Names of inputs; the layer's name follows the last two."""


class Deltas:
    """Makes the nodes of adapted layers, and collects their inputs."""

    def __init__(self) -> None:
        self._shares = graph.parameter(SHARES, [-1, -1], Type.f32)
        self.inputs: list[graph.Node] = [self._shares]

    def added(self, y: graph.Node, x: graph.Node, parts: Iterable[tuple[str, int]], inputs: int) -> graph.Node:
        """Y, which layers given as (name, outputs) made of x together, with what adapters add: f32 [T, outputs]."""
        found = [self._delta(x, name, outputs, inputs) for name, outputs in parts]
        return op.add(y, found[0] if len(found) == 1 else op.concat(found, 1))

    def _delta(self, x: graph.Node, name: str, outputs: int, inputs: int) -> graph.Node:
        down = graph.parameter(DOWN + name, [-1, inputs], Type.f32)
        up = graph.parameter(UP + name, [outputs, -1], Type.f32)
        self.inputs += [down, up]
        return graph.linear(op.multiply(graph.linear(x, down), self._shares), up)


@dataclass(frozen=True, slots=True)
class Stack:
    """The matrices of several adapters as the graph takes them, and which rows are whose."""

    arrays: dict[str, NDArray[np.float32]]
    rows: dict[str, slice]
    width: int
    """Of `adapter_shares`."""
    adapters: Mapping[str, Adapter] = field(default_factory=dict)
    """What it was made of, by name."""

    def shares(self, adapters: Sequence[str], lengths: Sequence[int]) -> NDArray[np.float32]:
        """[T, width] for sequences with so many new tokens each; an empty name is the model as it is."""
        found = np.zeros((sum(lengths), self.width), np.float32)
        start = 0
        for adapter, length in zip(adapters, lengths, strict=True):
            if adapter:
                found[start : start + length, self.rows[adapter]] = 1.0
            start += length
        return found


def stack(adapters: Sequence[Adapter], layers: dict[str, tuple[int, int]], room: int = 0) -> Stack:
    """Layers: (inputs, outputs) by name, of all that can be adapted. room: what all ranks are together at most.

    All of the room is computed, so that a step takes the same time whoever is there; 0: only what is there.
    Raises UnsupportedModel if an adapter changes another layer, CheckpointError if its matrices do not fit, or there is
    too little room.
    """
    for adapter in adapters:
        _check(adapter, layers)
    if room and (taken := sum(adapter.rank for adapter in adapters)) > room:
        last = adapters[-1]
        raise CheckpointError(
            f"there is no room for adapter {last.name!r:.100} of rank {last.rank}: the ranks of all together may be "
            f"{room}, and {taken - last.rank} are taken"
        )
    rows, end = {}, 0
    for adapter in adapters:
        rows[adapter.name] = slice(end, end + adapter.rank)
        end += adapter.rank
    width = max(end, room, 1)  # the library computes nothing, not even zeros, from a matrix without rows
    arrays: dict[str, NDArray[np.float32]] = {}
    for layer, (inputs, outputs) in layers.items():
        down, up = np.zeros((width, inputs), np.float32), np.zeros((outputs, width), np.float32)
        for adapter in adapters:
            if (pair := adapter.pairs.get(layer)) is not None:
                start = rows[adapter.name].start
                down[start : start + pair.rank] = pair.down
                up[:, start : start + pair.rank] = pair.up
        arrays[DOWN + layer], arrays[UP + layer] = down, up
    return Stack(arrays, rows, width, {adapter.name: adapter for adapter in adapters})


def _check(adapter: Adapter, layers: dict[str, tuple[int, int]]) -> None:
    for layer, pair in adapter.pairs.items():
        if layer not in layers:
            raise UnsupportedModel(f"adapter {adapter.name!r:.100} changes {layer:.200}, which cannot be adapted here")
        inputs, outputs = layers[layer]
        if (pair.down.shape[1], pair.up.shape[0]) != (inputs, outputs):
            raise CheckpointError(
                f"adapter {adapter.name!r:.100} was not made for this model: {layer:.200} takes {inputs} values and "
                f"gives {outputs}, its matrices {pair.down.shape[1]} and {pair.up.shape[0]}"
            )
