"""One .safetensors file, memory-mapped: its header is checked before any byte of it is trusted."""

from __future__ import annotations

import json
import math
import mmap
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeGuard

import numpy as np

from penstock_engine.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

HEADER_LIMIT = 100_000_000
"""Bytes; the same limit as the reference implementation's."""
LENGTH_BYTES = 8
NUMPY_TYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": np.uint16,  # numpy has no bfloat16: bit patterns
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor in its storage type. `data` may be a view of mapped pages; BF16 comes as uint16 bit patterns."""

    data: NDArray[np.generic]
    dtype: str

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        return self.data.shape


@dataclass(frozen=True, slots=True)
class _Entry:
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class SafetensorsFile:
    """The tensors of one file by name. Views keep the mapping alive; the file must not be cut short while mapped."""

    def __init__(self, path: Path) -> None:
        """Raises CheckpointError on a file that is missing, cut short, or whose header does not fit it."""
        self.path = path
        try:
            with path.open("rb") as file:
                # copy on write: the kernels' library asks for writable memory, though nothing writes to it
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        except FileNotFoundError as error:
            raise CheckpointError(f"{path.name} is missing") from error
        except (OSError, ValueError) as error:  # ValueError: an empty file cannot be mapped
            raise CheckpointError(f"{path.name} cannot be read: {error}") from error
        self._start, self._entries = _read_header(path.name, self._map)
        self._bytes = np.frombuffer(self._map, np.uint8)

    def names(self) -> tuple[str, ...]:
        """The names of the tensors."""
        return tuple(self._entries)

    def tensor(self, name: str) -> Tensor:
        """A view of the mapped file; no bytes are read yet."""
        entry = self._entries[name]
        raw = self._bytes[self._start + entry.begin : self._start + entry.end]
        return Tensor(raw.view(NUMPY_TYPES[entry.dtype]).reshape(entry.shape), entry.dtype)

    def drop_pages(self) -> None:
        """Tell the system that the mapped pages are not needed now; they are read again from the file if they are."""
        self._map.madvise(mmap.MADV_DONTNEED)


def _read_header(name: str, content: mmap.mmap) -> tuple[int, dict[str, _Entry]]:
    size = len(content)
    if size < LENGTH_BYTES:
        raise CheckpointError(f"{name} is cut short: {size} bytes")
    length = int.from_bytes(content[:LENGTH_BYTES], "little")
    if length > min(HEADER_LIMIT, size - LENGTH_BYTES):
        raise CheckpointError(f"{name} is cut short or not a safetensors file: its header claims {length} bytes")
    try:
        header = json.loads(content[LENGTH_BYTES : LENGTH_BYTES + length], object_pairs_hook=_without_twins)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{name} has a header that is not JSON: {error!s:.120}") from error
    if not isinstance(header, dict):
        raise CheckpointError(f"{name} has a header that is not a JSON object")
    start = LENGTH_BYTES + length
    entries = {key: _entry(name, key, value, size - start) for key, value in header.items() if key != "__metadata__"}
    _check_overlaps(name, entries)
    return start, entries


def _without_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a name occurs twice")
    return fields


def _entry(file: str, key: str, value: object, room: int) -> _Entry:
    where = f"{file}: tensor {key!r:.200}"
    if not isinstance(value, dict):
        raise CheckpointError(f"{where} has no description")
    dtype, shape, offsets = value.get("dtype"), value.get("shape"), value.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in NUMPY_TYPES:
        raise CheckpointError(f"{where} has type {dtype!r:.40}, which this engine does not read")
    if not _is_counts(shape) or not _is_counts(offsets) or len(offsets) != 2:  # noqa: PLR2004 - begin and end
        raise CheckpointError(f"{where} has a shape or offsets that are not whole numbers of 0 or more")
    begin, end = offsets
    needed = math.prod(shape) * np.dtype(NUMPY_TYPES[dtype]).itemsize
    if begin > end or end > room:
        raise CheckpointError(f"{where} lies outside the file, which is cut short or damaged")
    if end - begin != needed:
        raise CheckpointError(f"{where} needs {needed} bytes for its shape, but has {end - begin}")
    return _Entry(dtype, tuple(shape), begin, end)


def _is_counts(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _check_overlaps(file: str, entries: dict[str, _Entry]) -> None:
    last = 0
    for key, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin < last:
            raise CheckpointError(f"{file}: tensor {key!r:.200} overlaps another")
        last = entry.end
