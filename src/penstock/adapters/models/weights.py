"""What safetensors files hold, from their headers alone."""

import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.adapters.models.document import Damaged, parse_json, read_json

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
INDEX_BYTES = 64 << 20
HEADER_BYTES = 16 << 20
MAX_SHARDS = 4096
MAX_DIMENSIONS = 8
MAX_SIDE = 1 << 40
_DTYPES = {"F32": 4, "F16": 2, "BF16": 2, "F64": 8, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_FLOATS = {"F32", "F16", "BF16"}


@dataclass(frozen=True, slots=True)
class Weights:
    """Parameters counted over all tensors, and bytes of the files that hold them."""

    parameters: int
    size: int


def read_weights(folder: Path) -> Weights:
    """Of a model's folder; raises Damaged if files are missing, cut short or of a kind that cannot be served."""
    files = [read_file(path) for path in _files(folder)]
    return Weights(sum(one.parameters for one in files), sum(one.size for one in files))


def read_file(path: Path) -> Weights:
    """Of one file; raises Damaged as `read_weights` does."""
    return Weights(sum(math.prod(shape) for shape in read_shapes(path).values()), _size(path))


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The tensors of one file, by name; raises Damaged as `read_weights` does."""
    return _shapes(path, _size(path))


def _files(folder: Path) -> list[Path]:
    if (folder / INDEX).is_file():
        names = read_json(folder / INDEX, INDEX_BYTES).part("weight_map").values.values()
        files = {name for name in names if isinstance(name, str)}
        for name in files:
            if Path(name).name != name or not name.endswith(".safetensors"):
                raise Damaged(f"{INDEX} names {name!r:.120}, which is not a safetensors file beside it.")
        if not 1 <= len(files) <= MAX_SHARDS:
            raise Damaged(f"{INDEX} must name 1 to {MAX_SHARDS} files, but names {len(files)}.")
        return [folder / name for name in sorted(files)]
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    if (folder / "adapter_config.json").is_file():
        raise Damaged("The files in model/ are a PEFT adapter, which belongs into peft/: log the PeftModel itself.")
    if any(folder.glob("*.bin")):
        raise Damaged(
            "The weights are pickles (.bin), which can run code when they are read: write them as safetensors with "
            "from_pretrained(folder).save_pretrained(new_folder) of the model's class, and register those."
        )
    raise Damaged(f"Neither {SINGLE} nor {INDEX} is there: weights must be in safetensors format.")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError as error:
        raise Damaged(f"The weights file {path.name} is missing.") from error


def _shapes(path: Path, length: int) -> dict[str, tuple[int, ...]]:
    with path.open("rb") as file:
        start = file.read(8)
        header_size = struct.unpack("<Q", start)[0] if len(start) == 8 else 0  # noqa: PLR2004 - a 64-bit length
        if not len("{}") <= header_size <= min(HEADER_BYTES, length - 8):
            raise Damaged(f"{path.name} is not a safetensors file: its header would be {header_size} bytes long.")
        header = parse_json(os.pread(file.fileno(), header_size, 8), f"The header of {path.name}")
    room = length - 8 - header_size
    tensors = [(name, tensor) for name, tensor in header.values.items() if name != "__metadata__"]
    return {name: _tensor(path.name, name, tensor, room) for name, tensor in tensors}


def _tensor(file: str, name: str, tensor: Any, room: int) -> tuple[int, ...]:
    """A tensor's shape; `room` is what the file has for data, in bytes."""
    try:
        dtype, shape, (begin, end) = tensor["dtype"], tensor["shape"], tensor["data_offsets"]
        sane = len(shape) <= MAX_DIMENSIONS and all(type(side) is int and 0 <= side <= MAX_SIDE for side in shape)
        count = math.prod(shape) if sane else -1
        fits = 0 <= begin <= end <= room and end - begin == count * _DTYPES[dtype]
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged(f"{file}: tensor {name!r:.80} is not described as safetensors does.") from error
    if not fits:
        raise Damaged(f"{file}: tensor {name!r:.80} does not fit into the file, which may be cut short.")
    if len(shape) > 1 and dtype not in _FLOATS:
        raise Damaged(f"{file}: tensor {name!r:.80} is {dtype}; only F32, F16 and BF16 weights can be served.")
    return tuple(shape)
