"""The artifact store: files of model versions.

Contract. A storage is a tree of files, open for writing until it is sealed and immutable from then on. A file is there
whole or not at all, also after the process or the machine died at any moment; what a method has returned is on disk.
Equal contents are kept once. Paths are relative, checked by `penstock.domain.artifact_path`, and never lead outside
their storage. No method blocks the event loop or holds more than a few megabytes, whatever the size of the files.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or directory. `path` is relative to the storage; `size` in bytes, 0 for directories; time in epoch ms."""

    path: str
    is_directory: bool
    size: int
    modified_at: int


@dataclass(frozen=True, slots=True)
class Part:
    """An uploaded part, as the client names it when it completes the upload."""

    number: int
    etag: str


class ArtifactStore(Protocol):
    """Where the files are. Raises PathNotFound for storages and paths that are not there."""

    async def create(self, storage: str) -> None:
        """Makes an empty open storage. Safe to repeat."""
        ...

    async def put(self, storage: str, path: str, content: AsyncIterator[bytes], *, overwrite: bool = True) -> Entry:
        """Stores a file, in place of an older one with `overwrite`; AlreadyExists without.

        Raises Conflict if the storage is sealed or the path goes through a file; what `content` raises passes through,
        and nothing is stored then.
        """
        ...

    async def adopt(self, storage: str, path: str, source: Path) -> Entry:
        """Stores a file of this machine, in place of an older one, without copying it where that can be done.

        The file is read-only from then on; its name may be removed. Raises what `put` raises, FileNotFoundError.
        """
        ...

    async def put_part(self, session: str, number: int, content: AsyncIterator[bytes]) -> str:
        """Stores one part of a multipart upload and returns its etag; the same number may be sent again."""
        ...

    async def complete(self, session: str, parts: Sequence[Part], storage: str, path: str) -> Entry:
        """Makes one file of the parts in the order given. The parts stay until `abort`, so it is safe to repeat.

        Raises InvalidParameter naming a part that was not uploaded with that etag, and what `put` raises.
        """
        ...

    async def abort(self, session: str) -> None:
        """Forgets the parts of an upload. Safe to repeat."""
        ...

    async def make_directory(self, storage: str, path: str) -> None:
        """Makes a directory with its parents in an open storage. Safe to repeat; raises Conflict where a file is."""
        ...

    async def delete(self, storage: str, path: str) -> None:
        """Deletes a file or an empty directory of an open storage. Raises Conflict if sealed or not empty."""
        ...

    async def stat(self, storage: str, path: str) -> Entry:
        """What is at the path; the storage itself at ''."""
        ...

    async def list(self, storage: str, path: str, *, after: str = "", limit: int = 1000) -> Sequence[Entry]:
        """What is in the directory, by name; `after` is the name of the last entry before. PathNotFound for files."""
        ...

    def read(self, storage: str, path: str, *, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The file's bytes from `start`, `length` of them or all that follow."""
        ...

    async def seal(self, storage: str) -> str:
        """Makes the storage immutable and returns its digest. Safe to repeat."""
        ...

    async def remove(self, storage: str) -> None:
        """Removes a storage, sealed or open. Safe to repeat."""
        ...

    def local(self, storage: str) -> Path:
        """A directory with the files, to be read only; it stays until `remove`. Does not look whether it is there."""
        ...

    async def is_sealed(self, storage: str) -> bool:
        """Whether the storage is sealed; False also if it is not there."""
        ...

    async def touched_at(self, storage: str) -> int:
        """When a file was last put into the storage, epoch milliseconds; 0 if it is not there."""
        ...

    async def ping(self) -> None:
        """Returns if files can be stored now; raises Temporary if not."""
        ...

    async def sweep(self, keep: frozenset[str], sessions: frozenset[str], before: int) -> int:
        """Removes what nobody refers to and nobody touched since `before` (epoch ms); returns the bytes freed.

        That is: storages not in `keep`, parts of uploads not in `sessions`, files that were never finished, and
        contents that no storage holds. Safe at any time, next to every other method.
        """
        ...
