"""A checkpoint's tensors as constants of a graph, in the precision asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from penstock_engine import graph
from penstock_engine.errors import CheckpointError
from penstock_engine.quantise import quantise_rows, quantise_symmetric, to_bf16, to_f32
from penstock_engine.safetensors import Tensor
from penstock_engine.work import Precision

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from penstock_engine.checkpoint import Checkpoint
    from penstock_engine.fusion import Fusion
    from penstock_engine.weight_cache import WeightEntry

    Cut = Callable[[NDArray[np.generic]], NDArray[np.generic]]

FLOATS = {"F32", "F16", "BF16"}


class Weights:
    """Gives an architecture its weights by the checkpoint's names.

    `keep` must live as long as the compiled graph: its constants are in that memory. adaptable: the graph is to have
    inputs for adapters.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        precision: Precision,
        cache: WeightEntry,
        fusion: Fusion,
        *,
        adaptable: bool = False,
    ) -> None:
        self.checkpoint = checkpoint
        self.precision = precision
        self.fusion = fusion
        self.adaptable = adaptable
        self.keep: list[object] = []
        self._cache = cache
        self._made: dict[str, graph.Node] = {}

    def __contains__(self, name: str) -> bool:
        return name in self.checkpoint

    def vector(self, *parts: tuple[str, int]) -> graph.Node:
        """Norm weights and biases, always in float32: one or several, one after the other, given as (name, length)."""
        return graph.f32(np.concatenate([self.array(name, (length,)) for name, length in parts]))

    def array(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """A tensor in float32."""
        return to_f32(self._floats(name, shape))

    def matrix(self, *parts: tuple[str, int], inputs: int, symmetric: bool = False) -> graph.Node:
        """[outputs, inputs], from the rows of one or several matrices given as (name, outputs).

        symmetric: in 8 bits without zero points, for kernels that multiply whole numbers.
        """
        name = "+".join(part for part, _ in parts)
        if name not in self._made:
            tensors = [self._floats(part, (outputs, inputs)) for part, outputs in parts]
            if len({tensor.dtype for tensor in tensors}) > 1:
                raise CheckpointError(f"{name} are of different types")
            self._made[name] = self._constant(name, tensors, symmetric)
        return self._made[name]

    def piece(self, name: str, shape: tuple[int, ...], label: str, cut: Cut) -> graph.Node:
        """[outputs, inputs], a part of the tensor of this name and shape: `cut` takes it out as a view.

        label: what the part is called, for messages and the cache.
        """
        made = f"{name}[{label}]"
        if made not in self._made:
            whole = self._floats(name, shape)
            self._made[made] = self._constant(made, [Tensor(cut(whole.data), whole.dtype)], symmetric=False)
        return self._made[made]

    def _floats(self, name: str, shape: tuple[int, ...]) -> Tensor:
        tensor = self.checkpoint.tensor(name, shape)
        if tensor.dtype not in FLOATS:
            raise CheckpointError(f"tensor {name!r} has type {tensor.dtype}: only F32, F16 and BF16 weights are read")
        return tensor

    def _constant(self, name: str, tensors: list[Tensor], symmetric: bool) -> graph.Node:
        try:
            if self.precision is Precision.INT8:
                return self._in_8_bits(name, tensors, symmetric)
            if self.precision is Precision.BF16:
                return self._in_16_bits(name, tensors)
            return self._shared(np.ascontiguousarray(to_f32(_joined(tensors))))
        except ValueError as error:
            raise CheckpointError(f"{name}: {error}") from error

    def _in_8_bits(self, name: str, tensors: list[Tensor], symmetric: bool) -> graph.Node:
        if symmetric:
            levels, scale = self._cache.get(name, lambda: _quantised_symmetric(tensors))
            return graph.scaled(self._shared(levels), self._shared(scale))
        levels, scale, zero = self._cache.get(name, lambda: _quantised(tensors))
        return graph.dequantised(self._shared(levels), self._shared(scale), self._shared(zero))

    def _in_16_bits(self, name: str, tensors: list[Tensor]) -> graph.Node:
        if len(tensors) == 1 and tensors[0].dtype == "BF16" and _lies_well(tensors[0]):
            bits = tensors[0].data
        else:
            (bits,) = self._cache.get(name, lambda: (to_bf16(_joined(tensors)),))
        return graph.kept_compressed(self._shared(bits, bf16=True))

    def _shared(self, array: NDArray[np.generic], *, bf16: bool = False) -> graph.Node:
        node, memory = graph.shared(array, bf16=bf16)
        self.keep.append(memory)
        return node


def _quantised(tensors: list[Tensor]) -> tuple[NDArray[np.generic], ...]:
    rows = quantise_rows(_joined(tensors))
    return rows.levels, rows.scale, rows.zero


def _quantised_symmetric(tensors: list[Tensor]) -> tuple[NDArray[np.generic], ...]:
    rows = quantise_symmetric(_joined(tensors))
    return rows.levels, rows.scale


def _joined(tensors: list[Tensor]) -> Tensor:
    if len(tensors) == 1:
        return tensors[0]
    return Tensor(np.concatenate([tensor.data for tensor in tensors]), tensors[0].dtype)


def _lies_well(tensor: Tensor) -> bool:
    """Whether the tensor can be used where it lies."""
    return bool(tensor.data.flags.aligned and tensor.data.flags.c_contiguous)
