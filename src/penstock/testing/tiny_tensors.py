"""Small tensors of 32-bit floats, as safetensors keeps them; written without numpy."""

import json
import struct
from array import array

Tensors = dict[str, tuple[tuple[int, ...], "array[float]"]]
"""Shapes and values, row by row, by name."""


def pack(tensors: Tensors) -> bytes:
    """The file."""
    header: dict[str, object] = {}
    values = array("f")
    for name, (shape, part) in tensors.items():
        begin = len(values) * 4
        values.extend(part)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, len(values) * 4]}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + values.tobytes()
