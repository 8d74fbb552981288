"""Small tensors of 32-bit floats, as safetensors keeps them; written and read without numpy."""

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


def unpack(file: bytes) -> Tensors:
    """What `pack` made it of."""
    size = struct.unpack("<Q", file[:8])[0]
    found: Tensors = {}
    for name, one in json.loads(file[8 : 8 + size]).items():
        begin, end = (8 + size + offset for offset in one["data_offsets"])
        found[name] = (tuple(one["shape"]), array("f", file[begin:end]))
    return found
