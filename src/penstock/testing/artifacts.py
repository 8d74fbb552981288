"""An artifact store in memory, for everything but the facts: `local` names a directory that does not exist."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from penstock.domain import artifact_path
from penstock.domain.errors import AlreadyExists, Conflict, InvalidParameter, PathNotFound
from penstock.ports.artifacts import Entry, Part
from penstock.ports.clock import Clock


@dataclass
class _Tree:
    files: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    directories: set[str] = field(default_factory=lambda: {""})
    sealed: bool = False
    touched_at: int = 0


class FakeArtifacts:
    """See `penstock.ports.artifacts.ArtifactStore`."""

    def __init__(self, clock: Clock) -> None:
        self.trees: dict[str, _Tree] = {}
        self.parts: dict[str, dict[tuple[int, str], bytes]] = {}
        self._touched: dict[str, int] = {}
        self._clock = clock

    def _tree(self, storage: str, *, to_write: bool = False) -> _Tree:
        tree = self.trees.get(storage)
        if tree is None:
            raise PathNotFound(f"Storage '{storage}' is not there.")
        if to_write and tree.sealed:
            raise Conflict("The files of a finalized model version cannot be changed. Register a new version.")
        return tree

    async def create(self, storage: str) -> None:
        """Makes an empty open storage."""
        self.trees.setdefault(storage, _Tree(touched_at=self._clock.now_ms()))

    async def put(self, storage: str, path: str, content: AsyncIterator[bytes], *, overwrite: bool = True) -> Entry:
        """Stores a file."""
        artifact_path.check(path)
        return self._place(storage, path, b"".join([chunk async for chunk in content]), overwrite=overwrite)

    def _place(self, storage: str, path: str, content: bytes, *, overwrite: bool = True) -> Entry:
        tree = self._tree(storage, to_write=True)
        if path in tree.directories:
            raise Conflict(f"Cannot write the file '{path}': a directory is there.")
        if path in tree.files and not overwrite:
            raise AlreadyExists(f"The file '{path}' exists already and overwrite is false.")
        self._make_parents(tree, path)
        tree.touched_at = self._clock.now_ms()
        tree.files[path] = (content, tree.touched_at)
        return Entry(path, is_directory=False, size=len(content), modified_at=tree.touched_at)

    def _make_parents(self, tree: _Tree, path: str) -> None:
        segments = path.split("/")[:-1]
        parents = ["/".join(segments[: end + 1]) for end in range(len(segments))]
        for parent in parents:
            if parent in tree.files:
                raise Conflict(f"Cannot write '{path}': '{parent}' is a file, not a directory.")
        tree.directories.update(parents)

    async def adopt(self, storage: str, path: str, source: Path) -> Entry:
        """Stores a copy."""
        artifact_path.check(path)
        return self._place(storage, path, await asyncio.to_thread(source.read_bytes))

    async def put_part(self, session: str, number: int, content: AsyncIterator[bytes]) -> str:
        """Stores one part."""
        if not 1 <= number <= 10_000:  # noqa: PLR2004 - as the real one
            raise InvalidParameter(f"part_number must be 1 to 10000, but is {number}.")
        whole = b"".join([chunk async for chunk in content])
        etag = hashlib.sha256(whole).hexdigest()
        self.parts.setdefault(session, {})[number, etag] = whole
        self._touched[session] = self._clock.now_ms()
        return etag

    async def complete(self, session: str, parts: Sequence[Part], storage: str, path: str) -> Entry:
        """Makes one file of the parts."""
        artifact_path.check(path)
        content = []
        for expected, part in enumerate(parts, 1):
            found = self.parts.get(session, {}).get((part.number, part.etag))
            if part.number != expected or found is None:
                raise InvalidParameter(f"Part {part.number} was not uploaded with etag '{part.etag}'.")
            content.append(found)
        return self._place(storage, path, b"".join(content))

    async def abort(self, session: str) -> None:
        """Forgets the parts."""
        self.parts.pop(session, None)

    async def make_directory(self, storage: str, path: str) -> None:
        """Makes a directory."""
        artifact_path.check(path)
        self._make_parents(self._tree(storage, to_write=True), f"{path}/-")

    async def delete(self, storage: str, path: str) -> None:
        """Deletes a file or an empty directory."""
        tree = self._tree(storage, to_write=True)
        if not path:
            raise Conflict("The root of a model version cannot be deleted; delete the version.")
        if tree.files.pop(path, None) is not None:
            return
        if path not in tree.directories:
            raise PathNotFound(f"No file or directory at '{path}'.")
        if any(name.startswith(f"{path}/") for name in [*tree.files, *tree.directories]):
            raise Conflict(f"The directory '{path}' is not empty.")
        tree.directories.remove(path)

    async def stat(self, storage: str, path: str) -> Entry:
        """What is at the path."""
        tree = self._tree(storage)
        if path in tree.directories:
            return Entry(path, is_directory=True, size=0, modified_at=tree.touched_at)
        if path not in tree.files:
            raise PathNotFound(f"No file or directory at '{path}'.")
        content, modified_at = tree.files[path]
        return Entry(path, is_directory=False, size=len(content), modified_at=modified_at)

    async def list(self, storage: str, path: str, *, after: str = "", limit: int = 1000) -> Sequence[Entry]:
        """A page of a directory."""
        tree = self._tree(storage)
        if path not in tree.directories:
            raise PathNotFound(f"No directory at '{path}'.")
        prefix = f"{path}/" if path else ""
        names = {name.removeprefix(prefix) for name in [*tree.files, *tree.directories] if name.startswith(prefix)}
        direct = sorted(name for name in names if name and "/" not in name and name > after)
        return [await self.stat(storage, prefix + name) for name in direct[:limit]]

    async def read(self, storage: str, path: str, *, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The file's bytes, a few at a time."""
        artifact_path.check(path)
        if path not in self._tree(storage).files:
            raise PathNotFound(f"No file at '{path}'.")
        content = self._tree(storage).files[path][0][start:]
        wanted = content if length is None else content[:length]
        for at in range(0, len(wanted), 7):
            yield wanted[at : at + 7]

    async def seal(self, storage: str) -> str:
        """Makes the storage immutable."""
        tree = self._tree(storage)
        tree.sealed = True
        sums = [f"{hashlib.sha256(tree.files[path][0]).hexdigest()}  {path}\n" for path in sorted(tree.files)]
        return hashlib.sha256("".join(sums).encode()).hexdigest()

    async def remove(self, storage: str) -> None:
        """Removes a storage."""
        self.trees.pop(storage, None)

    def local(self, storage: str) -> Path:
        """Where it would be."""
        return Path("/nowhere") / storage

    async def is_sealed(self, storage: str) -> bool:
        """Whether the storage is sealed."""
        return storage in self.trees and self.trees[storage].sealed

    async def touched_at(self, storage: str) -> int:
        """When a file was last put."""
        return self.trees[storage].touched_at if storage in self.trees else 0

    async def ping(self) -> None:
        """Always well."""

    async def sweep(self, keep: frozenset[str], sessions: frozenset[str], before: int) -> int:
        """Removes what nobody refers to."""
        freed = 0
        for storage in [s for s, tree in self.trees.items() if s not in keep and tree.touched_at < before]:
            freed += sum(len(content) for content, _ in self.trees.pop(storage).files.values())
        for session in [s for s in self.parts if s not in sessions and self._touched[s] < before]:
            freed += sum(map(len, self.parts.pop(session).values()))
        return freed
