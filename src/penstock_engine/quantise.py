"""Weights in fewer bits: 8 bits per row, asymmetric or symmetric, and rounding to bfloat16."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from penstock_engine.safetensors import Tensor

LEVELS, SYMMETRIC_LEVELS = 255, 127
BLOCK_VALUES = 1 << 18
"""Values converted at a time: 1 MiB of float32, which stays in the second-level cache."""
TINY = 1e-10
"""The least range of a row: a row of zeros still gets a scale."""


@dataclass(frozen=True, slots=True)
class QuantisedRows:
    """values ~ (levels - zero) * scale, row by row: levels u8 [N, K], scale f32 [N, 1], zero u8 [N, 1]."""

    levels: NDArray[np.uint8]
    scale: NDArray[np.float32]
    zero: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class SymmetricRows:
    """values ~ levels * scale, row by row: levels i8 [N, K], scale f32 [N, 1]."""

    levels: NDArray[np.int8]
    scale: NDArray[np.float32]


def to_f32(tensor: Tensor) -> NDArray[np.float32]:
    """A float32 copy, or the tensor itself if it is float32 already. Raises ValueError on whole-number types."""
    return _to_f32(tensor.data, tensor.dtype)


def to_bf16(tensor: Tensor) -> NDArray[np.uint16]:
    """Bit patterns of bfloat16, rounded to nearest even; the tensor itself if it is BF16 already.

    Raises ValueError on values that are not finite.
    """
    if tensor.dtype == "BF16":
        return tensor.data.view(np.uint16)
    rows = tensor.data.reshape(-1, tensor.shape[-1])
    out = np.empty(rows.shape, np.uint16)

    def block(part: slice) -> None:
        values = _finite(_to_f32(rows[part], tensor.dtype))
        bits = np.ascontiguousarray(values).view(np.uint32)
        out[part] = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)

    _in_blocks(rows.shape, block)
    return out.reshape(tensor.shape)


def quantise_rows(tensor: Tensor) -> QuantisedRows:
    """Each row of [N, K] gets its own scale and zero point; 0.0 is always met exactly.

    Raises ValueError on values that are not finite.
    """
    rows = tensor.data
    count = rows.shape[0]
    levels = np.empty(rows.shape, np.uint8)
    scale, zero = np.empty((count, 1), np.float32), np.empty((count, 1), np.uint8)

    def block(part: slice) -> None:
        values = np.array(_to_f32(rows[part], tensor.dtype))  # a copy: it is worked on in place
        low = np.minimum(_finite(values.min(1, keepdims=True)), 0)
        high = np.maximum(_finite(values.max(1, keepdims=True)), 0)
        # the range is halved first: low and high of opposite sign may be too far apart for float32
        step = np.maximum((high / 2 - low / 2) / (LEVELS / 2), np.float32(TINY))
        middle = np.rint(-low / step)
        values /= step
        values += middle
        np.rint(values, out=values)
        np.clip(values, 0, LEVELS, out=values)
        levels[part], scale[part], zero[part] = values, step, middle

    _in_blocks(rows.shape, block)
    return QuantisedRows(levels, scale, zero)


def quantise_symmetric(tensor: Tensor) -> SymmetricRows:
    """Each row of [N, K] gets its own scale: the form that kernels need which multiply whole numbers.

    Raises ValueError on values that are not finite.
    """
    rows = tensor.data
    levels, scale = np.empty(rows.shape, np.int8), np.empty((rows.shape[0], 1), np.float32)

    def block(part: slice) -> None:
        values = np.array(_to_f32(rows[part], tensor.dtype))  # a copy: it is worked on in place
        largest = np.maximum(_finite(values.max(1, keepdims=True)), -_finite(values.min(1, keepdims=True)))
        step = np.maximum(largest / SYMMETRIC_LEVELS, np.float32(TINY))
        values /= step
        np.rint(values, out=values)
        levels[part], scale[part] = values, step

    _in_blocks(rows.shape, block)
    return SymmetricRows(levels, scale)


def _in_blocks(shape: tuple[int, ...], work: Callable[[slice], None]) -> None:
    step = max(1, BLOCK_VALUES // max(1, shape[-1]))
    parts = [slice(start, start + step) for start in range(0, shape[0], step)]
    threads = min(len(os.sched_getaffinity(0)), len(parts))
    if threads <= 1:
        for part in parts:
            work(part)
        return
    with ThreadPoolExecutor(threads) as pool:  # numpy lets go of the interpreter's lock in these loops
        for _ in pool.map(work, parts):
            pass


def _to_f32(data: NDArray[np.generic], dtype: str) -> NDArray[np.float32]:
    if dtype == "BF16":
        return (data.astype(np.uint32) << np.uint32(16)).view(np.float32)
    if dtype in {"F32", "F16", "F64"}:
        return data.astype(np.float32, copy=False)
    raise ValueError(f"type {dtype} is not a floating-point type")


def _finite(values: NDArray[np.float32]) -> NDArray[np.float32]:
    if not np.isfinite(values).all():
        raise ValueError("there are values that are not finite")
    return values
