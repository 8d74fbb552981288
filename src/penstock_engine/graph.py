"""A small vocabulary on the kernels' library: constants, norms, activations, rotation.

Shapes: decoders work on tokens [T, hidden] of all sequences together, encoders on [batch, length, hidden].
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import openvino as ov
from openvino import PartialShape, Type
from openvino import opset15 as op
from openvino.utils.node_factory import NodeFactory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from penstock_engine.rope import Rope

Node: TypeAlias = Any
"""A node of a graph or one of its outputs; the library has no types."""
END = int(np.iinfo(np.int64).max)


def i64(*values: int) -> Node:
    """A vector of whole numbers, as shapes and axes are given."""
    return op.constant(np.array(values, np.int64))


def i32(value: int) -> Node:
    """A scalar."""
    return op.constant(np.array(value, np.int32))


def f32(value: float | NDArray[np.floating[Any]]) -> Node:
    """A constant of any shape."""
    return op.constant(np.asarray(value, np.float32))


def parameter(name: str, shape: Sequence[int], dtype: Node) -> Node:
    """An input of the graph; -1 is a length that varies."""
    node = op.parameter(PartialShape(list(shape)), dtype, name=name)
    node.output(0).get_tensor().set_names({name})
    return node


def model(output: Node, name: str, inputs: Sequence[Node]) -> Node:
    """A graph with one named result."""
    output.output(0).get_tensor().set_names({name})
    return ov.Model([op.result(output)], list(inputs), name)


def shared(array: NDArray[np.generic], *, bf16: bool = False) -> tuple[Node, object]:
    """A constant in the array's own memory, and what must be kept alive as long as the compiled graph."""
    tensor = ov.Tensor(array, list(array.shape), Type.bf16) if bf16 else ov.Tensor(array, shared_memory=True)
    return ov.op.Constant(tensor, shared_memory=True), (array, tensor)


def kept_compressed(constant: Node) -> Node:
    """A float32 view of a 16-bit constant, marked so that the library keeps the constant at 16 bits.

    Without the mark the constant is folded to float32: three to four times the memory. The library asks for the mark's
    name alone, as its own compression pass leaves it.
    """
    view = op.convert(constant, "f32")
    view.get_rt_info()["decompression_0"] = ""
    return view


def dequantised(levels: Node, scale: Node, zero: Node) -> Node:
    """(levels - zero) * scale, in the form that the library's 8-bit kernels recognise."""
    return op.multiply(op.subtract(op.convert(levels, "f32"), op.convert(zero, "f32")), scale)


def scaled(levels: Node, scale: Node) -> Node:
    """Levels * scale, likewise."""
    return op.multiply(op.convert(levels, "f32"), scale)


def linear(x: Node, weight: Node) -> Node:
    """X times the transpose of weight [outputs, inputs]."""
    return op.matmul(x, weight, False, True)


def rows_of(table: Node, ids: Node) -> Node:
    """Rows of a table by number."""
    return op.gather(table, ids, i32(0))


def silu(x: Node) -> Node:
    """X * sigmoid(x), as one node: opset.swish() would add an input that keeps fusions from matching."""
    return NodeFactory("opset4").create("Swish", [x.output(0)])


def rms_norm(x: Node, weight: Node, epsilon: float) -> Node:
    """Root mean square norm over the last axis; the library fuses this form."""
    mean = op.reduce_mean(op.power(x, f32(2.0)), i64(-1), True)
    root = op.divide(f32(1.0), op.sqrt(op.add(mean, f32(epsilon))))
    return op.multiply(op.multiply(x, root), weight)


def layer_norm(x: Node, weight: Node, bias: Node | None, epsilon: float) -> Node:
    """Layer norm over the last axis."""
    normed = op.multiply(op.mvn(x, i64(-1), True, epsilon, "inside_sqrt"), weight)
    return normed if bias is None else op.add(normed, bias)


def clipped(x: Node, limit: float) -> Node:
    """X with every value between -limit and limit; 0: x as it is."""
    return op.clamp(x, -limit, limit) if limit else x


def split(x: Node, axis: int, lengths: Sequence[int]) -> list[Node]:
    """Parts of x along an axis."""
    parts: list[Node] = op.variadic_split(x, op.constant(np.int64(axis)), i64(*lengths)).outputs()
    return parts


def rope_tables(positions: Node, rope: Rope) -> tuple[Node, Node]:
    """Positions [T] -> cosine and sine [T, 1, 1, head_dim]."""
    column = op.reshape(op.convert(positions, "f32"), i64(-1, 1, 1, 1), False)
    angles = op.multiply(column, f32(rope.inverse_frequencies.reshape(1, 1, 1, -1)))
    angles = op.concat([angles, angles], -1)
    cosine, sine = op.cos(angles), op.sin(angles)
    if rope.factor != 1.0:
        cosine, sine = op.multiply(cosine, f32(rope.factor)), op.multiply(sine, f32(rope.factor))
    return cosine, sine


def rotated(x: Node, tables: tuple[Node, Node], heads: int, head_dim: int) -> Node:
    """X [T, heads * head_dim], each head turned by its token's position. The library fuses this form."""
    x = op.reshape(x, i64(-1, heads, 1, head_dim), False)
    return op.reshape(turned(x, tables, head_dim), i64(-1, heads * head_dim), False)


def turned(x: Node, tables: tuple[Node, Node], head_dim: int) -> Node:
    """X [.., .., .., head_dim] turned by the angles of the tables, which fit it or are repeated along it."""
    cosine, sine = tables
    first = op.slice(x, i64(0), i64(head_dim // 2), i64(1), i64(3))
    second = op.slice(x, i64(head_dim // 2), i64(END), i64(1), i64(3))
    other = op.concat([op.multiply(second, f32(-1.0)), first], -1)
    return op.add(op.multiply(x, cosine), op.multiply(other, sine))
