"""Attention over a paged KV cache: one private node of the kernels' library, and the inputs it shares between layers.

The node's list of 28 inputs belongs to exactly the release that pyproject.toml pins; the self-check at load would show
a difference.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from openvino import Type
from openvino import opset15 as op
from openvino.op import _PagedAttentionExtension

from penstock_engine.graph import Node, f32, i32, parameter

KEY_CACHE, VALUE_CACHE = "key_cache.", "value_cache."
"""Names of the inputs that hold the cache; the layer's number follows."""


@dataclass(frozen=True, slots=True)
class Heads:
    """Sizes of one attention layer, and what changes its scores.

    window: tokens that a token sees, itself included; 0: all before it. slopes: ALiBi's, one for each query head, by
    which a score falls with distance; empty: not at all. scale: of the scores; 0: one by the root of the head's size.
    """

    queries: int
    keys: int
    size: int
    window: int = 0
    slopes: tuple[float, ...] = ()
    scale: float = 0.0


class PagedAttention:
    """Makes the attention nodes of a decoder, and collects their inputs."""

    def __init__(self) -> None:
        self._past = parameter("past_lens", [-1], Type.i32)
        self._begins = parameter("subsequence_begins", [-1], Type.i32)
        self._blocks = parameter("block_indices", [-1], Type.i32)
        self._block_begins = parameter("block_indices_begins", [-1], Type.i32)
        self._longest = parameter("max_context_len", [], Type.i32)
        self.inputs: list[Node] = [self._past, self._begins, self._blocks, self._block_begins, self._longest]
        self._layers = 0

    def layer(self, query: Node, key: Node, value: Node, heads: Heads) -> Node:
        """Query [T, queries * size], key and value [T, keys * size] -> [T, queries * size]."""
        caches = [parameter(f"{kind}{self._layers}", [-1] * 4, Type.dynamic) for kind in (KEY_CACHE, VALUE_CACHE)]
        self._layers += 1
        self.inputs += caches
        scale, slopes = heads.scale or heads.size**-0.5, np.array(heads.slopes, np.float32)
        node = _PagedAttentionExtension(
            [
                each.output(0) if hasattr(each, "output") else each
                for each in (
                    *(query, key, value, *caches, self._past, self._begins, self._blocks, self._block_begins),
                    *(f32(scale), i32(heads.window), f32(slopes), self._longest),
                    *(
                        _ints(),
                        _ints(),
                        _ints(),
                        _floats(),
                    ),  # score window, rotated blocks, rotation deltas, trigonometry
                    *(_floats(), i32(0), i32(0)),  # sparse attention: threshold, block size, stride
                    op.constant(np.zeros((0, 0, 0, 0), np.float32)),  # sinks
                    *(i32(0), _ints(), _ints(), _ints(), _ints()),  # adaptive eviction
                    *(op.constant(np.zeros(0, np.uint8)), _ints()),  # token mask and its begins
                )
            ]
        )
        info = node.get_rt_info()
        for name in ("num_k_heads", "num_v_heads"):
            info[name] = heads.keys
        for name in ("k_head_size", "v_head_size"):
            info[name] = heads.size
        return node.output(0)


def _ints() -> Node:
    return op.constant(np.zeros(0, np.int32))


def _floats() -> Node:
    return op.constant(np.zeros(0, np.float32))
