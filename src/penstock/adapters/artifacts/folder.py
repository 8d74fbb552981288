"""The artifact store in a local folder, whose file system must know hard links; see `penstock.ports.artifacts`."""

import asyncio
import errno
import os
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from penstock.adapters.artifacts.blobs import Adopted, Blobs, Staged
from penstock.adapters.artifacts.layout import Layout, check_token, sync_directory
from penstock.adapters.artifacts.tree import Tree
from penstock.domain import artifact_path
from penstock.domain.errors import InvalidParameter, QuotaExceeded, Temporary
from penstock.ports.artifacts import Entry, Part

BLOCK_BYTES = 1 << 20
PART_LIMIT = 10_000
_LONG_JOBS = 2


class FolderArtifacts:
    """Keeps everything under `root` and makes it. Disk work runs in threads."""

    def __init__(self, root: Path) -> None:
        self._layout = Layout(root)
        self._blobs = Blobs(self._layout)
        # Joining parts and hashing again may take long; they may not take all threads.
        self._long = asyncio.Semaphore(_LONG_JOBS)

    def _tree(self, storage: str) -> Tree:
        return Tree(self._layout, self._blobs, storage)

    async def create(self, storage: str) -> None:
        """Makes an empty open storage."""
        await asyncio.to_thread(self._tree(storage).create)

    async def put(self, storage: str, path: str, content: AsyncIterator[bytes], *, overwrite: bool = True) -> Entry:
        """Stores a file."""
        tree = self._tree(storage)
        artifact_path.check(path)
        staged = await self._receive(content)
        try:
            with _disk_errors():
                return await asyncio.to_thread(self._place, tree, staged, path, overwrite)
        finally:
            await asyncio.to_thread(staged.discard)

    async def _receive(self, content: AsyncIterator[bytes]) -> Staged:
        """Writes a stream to a finished file; removes it again if the stream fails."""
        staged = await asyncio.to_thread(self._blobs.stage)
        try:
            with _disk_errors():
                async for block in _blocks(content):
                    await asyncio.to_thread(staged.write, block)
                await asyncio.to_thread(staged.finish)
        except BaseException:
            await asyncio.to_thread(staged.discard)
            raise
        return staged

    def _place(self, tree: Tree, staged: Staged | Adopted, path: str, overwrite: bool) -> Entry:
        link = self._blobs.link(staged)
        try:
            return tree.place(link, staged.sha256, path, overwrite=overwrite)
        finally:
            link.unlink(missing_ok=True)

    async def adopt(self, storage: str, path: str, source: Path) -> Entry:
        """Stores a file of this machine."""
        tree = self._tree(storage)
        artifact_path.check(path)
        async with self._long:
            with _disk_errors():
                staged = await asyncio.to_thread(self._blobs.adopt, source)
                try:
                    return await asyncio.to_thread(self._place, tree, staged, path, True)
                finally:
                    await asyncio.to_thread(staged.discard)

    async def put_part(self, session: str, number: int, content: AsyncIterator[bytes]) -> str:
        """Stores one part; its etag is its SHA-256."""
        directory = self._layout.parts / check_token(session, "session_token")
        if not 1 <= number <= PART_LIMIT:
            raise InvalidParameter(f"part_number must be 1 to {PART_LIMIT}, but is {number}.")
        staged = await self._receive(content)
        try:
            with _disk_errors():
                await asyncio.to_thread(self._keep_part, staged, directory, number)
        finally:
            await asyncio.to_thread(staged.discard)
        return staged.sha256

    def _keep_part(self, staged: Staged, directory: Path, number: int) -> None:
        with suppress(FileExistsError):
            directory.mkdir(mode=0o700)
            sync_directory(directory.parent)
        staged.path.replace(directory / _part_name(number, staged.sha256))
        sync_directory(directory)

    async def complete(self, session: str, parts: Sequence[Part], storage: str, path: str) -> Entry:
        """Makes one file of the parts."""
        tree = self._tree(storage)
        artifact_path.check(path)
        directory = self._layout.parts / check_token(session, "session_token")
        async with self._long:
            staged = await asyncio.to_thread(self._blobs.stage)
            try:
                with _disk_errors():
                    return await asyncio.to_thread(self._join, staged, directory, parts, tree, path)
            finally:
                await asyncio.to_thread(staged.discard)

    def _join(self, staged: Staged, directory: Path, parts: Sequence[Part], tree: Tree, path: str) -> Entry:
        for expected, part in enumerate(parts, 1):
            if part.number != expected:
                raise InvalidParameter(
                    f"parts must be numbered 1, 2, 3 ... in order, but number {expected} is {part.number}."
                )
            try:
                staged.append(directory / _part_name(part.number, check_token(part.etag, "etag")))
            except FileNotFoundError as error:
                raise InvalidParameter(f"Part {part.number} was not uploaded with etag '{part.etag}'.") from error
        staged.finish()
        return self._place(tree, staged, path, overwrite=True)

    async def abort(self, session: str) -> None:
        """Forgets the parts."""
        directory = self._layout.parts / check_token(session, "session_token")
        await asyncio.to_thread(self._remove, directory)

    async def make_directory(self, storage: str, path: str) -> None:
        """Makes a directory."""
        tree = self._tree(storage)
        await asyncio.to_thread(tree.make_directory, artifact_path.check(path))

    async def delete(self, storage: str, path: str) -> None:
        """Deletes a file or an empty directory."""
        await asyncio.to_thread(self._tree(storage).delete, artifact_path.check(path))

    async def stat(self, storage: str, path: str) -> Entry:
        """What is at the path."""
        return await asyncio.to_thread(self._tree(storage).stat, artifact_path.check(path))

    async def list(self, storage: str, path: str, *, after: str = "", limit: int = 1000) -> Sequence[Entry]:
        """A page of a directory."""
        return await asyncio.to_thread(self._tree(storage).list, artifact_path.check(path), after, limit)

    async def read(self, storage: str, path: str, *, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The file's bytes, a megabyte at a time."""
        handle = await asyncio.to_thread(self._tree(storage).open_file, artifact_path.check(path))
        try:
            offset, left = start, length
            while left is None or left > 0:
                size = BLOCK_BYTES if left is None else min(BLOCK_BYTES, left)
                block = await asyncio.to_thread(os.pread, handle, size, offset)
                if not block:
                    return
                offset += len(block)
                left = None if left is None else left - len(block)
                yield block
        finally:
            os.close(handle)

    async def seal(self, storage: str) -> str:
        """Makes the storage immutable."""
        async with self._long:
            return await asyncio.to_thread(self._tree(storage).seal)

    async def remove(self, storage: str) -> None:
        """Removes a storage."""
        await asyncio.to_thread(self._remove_tree, storage)

    def _remove_tree(self, storage: str) -> None:
        self._tree(storage).remove()
        self._empty_trash()

    def local(self, storage: str) -> Path:
        """The sealed directory."""
        return self._layout.sealed / check_token(storage, "storage") / "files"

    def open_folder(self, storage: str) -> Path:
        """The directory of a storage that is never sealed, to be read only. Does not look whether it is there."""
        return self._layout.open / check_token(storage, "storage") / "files"

    async def is_sealed(self, storage: str) -> bool:
        """Whether the storage is sealed."""
        return await asyncio.to_thread(lambda: self._tree(storage).sealed)

    async def touched_at(self, storage: str) -> int:
        """When a file was last put."""
        return await asyncio.to_thread(self._tree(storage).touched_at)

    async def ping(self) -> None:
        """Writes a byte to the disk, and removes it again."""
        await asyncio.to_thread(self._try_disk)

    def _try_disk(self) -> None:
        try:
            staged = self._blobs.stage()
            try:
                staged.write(b".")
                staged.finish()
            finally:
                staged.discard()
        except OSError as error:
            raise Temporary(f"The artifact folder cannot be written to: {error.strerror}.") from error

    async def sweep(self, keep: frozenset[str], sessions: frozenset[str], before: int) -> int:
        """Removes what nobody refers to."""
        async with self._long:
            return await asyncio.to_thread(self._sweep, keep, sessions, before)

    def _sweep(self, keep: frozenset[str], sessions: frozenset[str], before: int) -> int:
        freed = 0
        for family in (self._layout.open, self._layout.sealed):
            for directory in _older(family, before):
                if directory.name not in keep:
                    self._layout.discard(directory)
        for directory in _older(self._layout.parts, before):
            if directory.name not in sessions:
                freed += _size(directory)
                self._layout.discard(directory)
        for place in _older(self._layout.incoming, before):
            freed += _size(place)
            shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
        self._empty_trash()
        return freed + self._blobs.sweep()

    def _remove(self, directory: Path) -> None:
        self._layout.discard(directory)
        self._empty_trash()

    def _empty_trash(self) -> None:
        for directory in self._layout.trash.iterdir():
            shutil.rmtree(directory, ignore_errors=True)


async def _blocks(content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in blocks of about a megabyte: fewer trips to a thread."""
    held: list[bytes] = []
    size = 0
    async for chunk in content:
        held.append(chunk)
        size += len(chunk)
        if size >= BLOCK_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


@contextmanager
def _disk_errors() -> Iterator[None]:
    """A full disk is told as what it is."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise QuotaExceeded("The server has no disk space left for this file.") from error
        raise


def _part_name(number: int, etag: str) -> str:
    return f"{number:05}-{etag}"


def _older(directory: Path, before: int) -> list[Path]:
    """What was last touched before that time, epoch milliseconds."""
    found = []
    for place in directory.iterdir():
        with suppress(FileNotFoundError):
            if place.lstat().st_mtime_ns // 1_000_000 < before:
                found.append(place)
    return found


def _size(place: Path) -> int:
    """Bytes of a file, or of the files right in a directory, that go when it goes."""
    with suppress(FileNotFoundError, NotADirectoryError):
        if place.is_dir():
            return sum(_size(below) for below in place.iterdir())
        status = place.lstat()
        return status.st_size if status.st_nlink == 1 else 0
    return 0
