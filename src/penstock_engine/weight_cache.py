"""Converted weights on disk, memory-mapped: the second load converts nothing, and its originals are file pages.

The kernels' library repacks weights into its own layout, so whatever it was given would otherwise stay in memory twice.

    cache/
      digests/<file identity>        the content digest of a weight file, so that it is computed once
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
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from penstock_engine.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from penstock_engine.checkpoint import ModelFolder
    from penstock_engine.work import Precision

    Arrays = tuple[NDArray[np.generic], ...]

WEIGHTS_VERSION = 1
"""Raised whenever an entry made by older code would not be what this code makes."""
ALIGN = mmap.ALLOCATIONGRANULARITY
"""Arrays begin on a page, so that they can be mapped and read without sharing one."""
TYPES = {"uint8": np.uint8, "uint16": np.uint16, "float32": np.float32}


@dataclass(frozen=True, slots=True)
class _Place:
    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        return math.prod(self.shape) * np.dtype(TYPES[self.dtype]).itemsize


class CacheEntry:
    """Converted weights by name. A finished entry only reads; an unfinished one makes what it does not have."""

    def __init__(self, folder: Path, places: dict[str, tuple[_Place, ...]], *, finished: bool) -> None:
        self.finished = finished
        self._places = places
        self._file = (folder / "data.bin").open("rb" if finished else "w+b")
        self._end = os.fstat(self._file.fileno()).st_size
        self._maps: list[mmap.mmap] = []

    def get(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """The arrays of a name, mapped from the disk; made and written first if they are not there yet."""
        places = self._places.get(name)
        if places is None:
            if self.finished:
                raise EngineError(f"the weight cache lacks {name!r}: it was written by another version; delete it")
            places = tuple(self._write(array) for array in make())
            self._places[name] = places
        return tuple(self._mapped(place) for place in places)

    def size(self) -> int:
        """Bytes of the entry's arrays on disk, padding included."""
        return self._end

    def drop_pages(self) -> None:
        """Give the mapped pages back to the system; they are read again from the file if needed."""
        for each in self._maps:
            each.madvise(mmap.MADV_DONTNEED)

    def _write(self, array: NDArray[np.generic]) -> _Place:
        offset = -(-self._end // ALIGN) * ALIGN
        self._file.seek(offset)
        self._file.write(np.ascontiguousarray(array).data)
        self._file.flush()
        self._end = offset + array.nbytes
        return _Place(array.dtype.name, array.shape, offset)

    def _mapped(self, place: _Place) -> NDArray[np.generic]:
        if place.size == 0:
            return np.zeros(place.shape, TYPES[place.dtype])
        # copy on write: the kernels' library asks for writable memory, though nothing writes to it
        mapped = mmap.mmap(self._file.fileno(), place.size, access=mmap.ACCESS_COPY, offset=place.offset)
        self._maps.append(mapped)
        return np.frombuffer(mapped, TYPES[place.dtype]).reshape(place.shape)

    def write_index(self, folder: Path) -> None:
        """Put data and index on the disk for good: what is renamed into place afterwards is whole."""
        os.fsync(self._file.fileno())
        arrays = {
            name: [{"dtype": place.dtype, "shape": place.shape, "offset": place.offset} for place in places]
            for name, places in self._places.items()
        }
        with (folder / "index.json").open("w", encoding="utf-8") as file:
            json.dump({"version": WEIGHTS_VERSION, "size": self._end, "arrays": arrays}, file)
            file.flush()
            os.fsync(file.fileno())


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

    @contextmanager
    def entry(self, key: str) -> Iterator[CacheEntry]:
        """A finished entry if there is one, else one to fill, kept if the block ends without an exception.

        One process fills; others that want the same entry wait for it here. Mapped arrays outlive the block.
        """
        done = self.folder / key
        finished = _read_entry(done)
        if finished is not None:
            yield finished
            return
        with (self.folder / f"{key}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # ends with the process, however it ends
            finished = _read_entry(done)
            if finished is None:
                yield from self._filled(key, done)
            else:
                yield finished

    def _filled(self, key: str, done: Path) -> Iterator[CacheEntry]:
        for left in (*self.folder.glob(f"{key}.part-*"), done):  # of a writer that died; damaged
            shutil.rmtree(left, ignore_errors=True)
        part = Path(tempfile.mkdtemp(prefix=f"{key}.part-", dir=self.folder))
        try:
            entry = CacheEntry(part, {}, finished=False)
            yield entry
            entry.write_index(part)
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
    return CacheEntry(folder, places, finished=True)


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
