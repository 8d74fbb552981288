"""Converted weights on disk, memory-mapped: the second load converts nothing, and its originals are file pages.

The kernels' library repacks weights into its own layout, so whatever it was given would otherwise stay in memory twice.

    cache/
      digests/<file identity>        the content digest of a weight file, so that it is computed once
      fusion/                        which sizes the fused kernel is right for, on which machine
      <key>/index.json, data.bin     a finished entry: renamed into place when all of it is on the disk
      <key>.lock                     held by the process that writes the entry
      <key>.part-*/                  an entry that is being written, or was when its writer died
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import mmap
import os
import shutil
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from penstock_engine.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from penstock_engine.checkpoint import ModelFolder
    from penstock_engine.work import Precision

    Arrays = tuple[NDArray[np.generic], ...]

WEIGHTS_VERSION = 2
"""Raised whenever an entry made by older code would not be what this code makes."""
ALIGN = mmap.ALLOCATIONGRANULARITY
"""Arrays begin on a page, so that they can be mapped and read without sharing one."""
TYPES = {"uint8": np.uint8, "int8": np.int8, "uint16": np.uint16, "float32": np.float32}


@dataclass(frozen=True, slots=True)
class _Place:
    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        return math.prod(self.shape) * np.dtype(TYPES[self.dtype]).itemsize


class WeightEntry(Protocol):
    """Converted weights by name."""

    def get(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """The arrays of a name, which `make` gives if they are not there yet."""


class Unkept:
    """Converted weights that are used once. Implements `WeightEntry`."""

    def get(self, name: str, make: Callable[[], Arrays]) -> Arrays:  # noqa: ARG002 - nothing is looked up
        """What `make` gives."""
        return tuple(np.ascontiguousarray(array) for array in make())


class EntryWriter:
    """An entry that is being filled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._places: dict[str, tuple[_Place, ...]] = {}
        self._file = (folder / "data.bin").open("xb")

    def get(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """Write the arrays of a name, and return stand-ins of the same shape that take no memory.

        A graph over them says which weights are needed, and is thrown away.
        """
        if name not in self._places:
            self._places[name] = tuple(self._write(array) for array in make())
        return tuple(np.zeros(place.shape, place.dtype) for place in self._places[name])

    def close(self) -> None:
        """No more is written."""
        self._file.close()

    def finish(self) -> None:
        """Put data and index on the disk for good: what is renamed into place afterwards is whole."""
        self._file.flush()
        os.fsync(self._file.fileno())
        arrays = {
            name: [{"dtype": place.dtype, "shape": place.shape, "offset": place.offset} for place in places]
            for name, places in self._places.items()
        }
        with (self.folder / "index.json").open("w", encoding="utf-8") as file:
            json.dump({"version": WEIGHTS_VERSION, "size": self._file.tell(), "arrays": arrays}, file)
            file.flush()
            os.fsync(file.fileno())

    def _write(self, array: NDArray[np.generic]) -> _Place:
        self._file.write(bytes(-self._file.tell() % ALIGN))
        offset = self._file.tell()
        self._file.write(np.ascontiguousarray(array).data)
        return _Place(array.dtype.name, array.shape, offset)


class CacheEntry:
    """A finished entry, mapped. Arrays keep the mapping alive."""

    def __init__(self, folder: Path, places: dict[str, tuple[_Place, ...]]) -> None:
        self.folder = folder
        self._places = places
        path = folder / "data.bin"
        self.size = path.stat().st_size
        """Bytes of the arrays on disk, padding included."""
        self._map: mmap.mmap | None = None
        if self.size:
            with path.open("rb") as file:
                # copy on write: the kernels' library asks for writable memory, though nothing writes to it
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        self._bytes = np.frombuffer(self._map or b"", np.uint8)

    def get(self, name: str, make: Callable[[], Arrays]) -> Arrays:  # noqa: ARG002 - nothing is left to make
        """The arrays of a name. Raises EngineError if another version wrote the entry."""
        if name not in self._places:
            raise EngineError(f"the weight cache lacks {name!r}: it was written by another version; delete it")
        return tuple(
            self._bytes[place.offset : place.offset + place.size].view(TYPES[place.dtype]).reshape(place.shape)
            for place in self._places[name]
        )

    def drop_pages(self) -> None:
        """Give the mapped pages back to the system; they are read again from the file if needed."""
        if self._map is not None:
            self._map.madvise(mmap.MADV_DONTNEED)


class WeightCache:
    """A folder of entries, shared by processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "digests").mkdir(parents=True, exist_ok=True)

    def key(self, model: ModelFolder, precision: Precision) -> str:
        """Names what the weights came from, by content, and what was made of them."""
        whole = hashlib.sha256(f"{WEIGHTS_VERSION} {precision}".encode())
        whole.update(hashlib.sha256((model.weights / "config.json").read_bytes()).digest())
        for path in model.weight_files():
            whole.update(path.name.encode() + b"\0" + self._content(path).encode() + b"\0")
        return whole.hexdigest()[:40]

    def entry(self, key: str, fill: Callable[[EntryWriter], None]) -> CacheEntry:
        """The entry of a key, which `fill` writes if it is not there; nothing is kept if `fill` raises.

        One process fills; others that want the same entry wait for it here.
        """
        done = self.folder / key
        if (entry := _read_entry(done)) is not None:
            return entry
        with (self.folder / f"{key}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # ends with the process, however it ends
            if (entry := _read_entry(done)) is None:
                self._fill(key, fill)
                entry = _read_entry(done)
        if entry is None:
            raise EngineError("the weight cache cannot read what it has just written: is the disk damaged?")
        return entry

    def _fill(self, key: str, fill: Callable[[EntryWriter], None]) -> None:
        done = self.folder / key
        for left in (*self.folder.glob(f"{key}.part-*"), done):  # of a writer that died; damaged
            shutil.rmtree(left, ignore_errors=True)
        part = Path(tempfile.mkdtemp(prefix=f"{key}.part-", dir=self.folder))
        try:
            with closing(EntryWriter(part)) as writer:
                fill(writer)
                writer.finish()
            part.rename(done)
            _sync_folder(self.folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _content(self, path: Path) -> str:
        """Digest of a file's bytes, remembered by the file's identity: it is read once, not at each load."""
        stat = path.stat()
        identity = f"{stat.st_dev} {stat.st_ino} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}"
        note = self.folder / "digests" / hashlib.sha256(identity.encode()).hexdigest()[:40]
        if note.is_file():
            digest = note.read_text("ascii")
            if len(digest) == hashlib.sha256().digest_size * 2:
                return digest
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        with tempfile.NamedTemporaryFile("w", dir=note.parent, delete=False, encoding="ascii") as part:
            part.write(digest)
        Path(part.name).rename(note)
        return digest


def _read_entry(folder: Path) -> CacheEntry | None:
    """None if the entry is missing or is not whole; then it is made again."""
    try:
        index = json.loads((folder / "index.json").read_text("utf-8"))
        size = (folder / "data.bin").stat().st_size
        if index["version"] != WEIGHTS_VERSION or index["size"] != size:
            return None
        places = {name: tuple(_place(item, size) for item in items) for name, items in index["arrays"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return CacheEntry(folder, places)


def _place(item: dict[str, object], size: int) -> _Place:
    dtype, shape, offset = item["dtype"], item["shape"], item["offset"]
    if not isinstance(dtype, str) or not isinstance(shape, list) or not isinstance(offset, int):
        raise TypeError("an array of the index is damaged")
    place = _Place(dtype, tuple(int(length) for length in shape), offset)
    if min(place.shape, default=0) < 0 or offset < 0 or offset % ALIGN or offset + place.size > size:
        raise ValueError("an array of the index lies outside the data")
    return place


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
