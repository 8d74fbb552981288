"""Use cases of the files of model versions, runs and logged models: uploads, downloads, directories, signed URLs."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from penstock.control.models import existing_version
from penstock.domain.artifact_path import ArtifactPath, check_segment, require_file
from penstock.domain.catalog import ModelVersion, check_readable, check_writable
from penstock.domain.errors import DoesNotExist, InvalidParameter, PathNotFound, PermissionDenied, TooLarge
from penstock.domain.tracking_path import STORAGE, FilePath, TrackingPath
from penstock.ports.artifacts import ArtifactStore, Entry
from penstock.ports.clock import Clock
from penstock.ports.signer import Grant, Signer
from penstock.ports.store import Store

PUT, GET, DELETE = "PUT", "GET", "DELETE"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes of the largest file, and milliseconds for which a signed address is good."""

    max_upload_bytes: int
    url_expiry_ms: int


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a signed address carries: the verb is the request's own. `session` and `part` are '' and 0 without one."""

    path: FilePath
    expires_at: int
    signature: str
    session: str = ""
    part: int = 0


class Files:
    """Files of model versions, runs and logged models, by the paths that clients use."""

    def __init__(self, store: Store, clock: Clock, artifacts: ArtifactStore, signer: Signer, limits: Limits) -> None:
        self._store = store
        self._clock = clock
        self._artifacts = artifacts
        self._signer = signer
        self._limits = limits

    async def version(self, path: ArtifactPath) -> ModelVersion:
        """The version that a path belongs to; raises PathNotFound."""
        try:
            async with self._store.unit() as unit:
                return await existing_version(unit, path.model, path.number)
        except DoesNotExist as error:
            raise PathNotFound(f"No file or directory at '{path}': {error.message}") from error

    async def storage(self, path: FilePath) -> str:
        """The storage that a path belongs to; raises PathNotFound."""
        return STORAGE if isinstance(path, TrackingPath) else (await self.version(path)).storage

    async def _readable(self, path: FilePath) -> str:
        if isinstance(path, TrackingPath):
            return STORAGE
        version = await self.version(path)
        check_readable(version)
        return version.storage

    async def writable(self, path: FilePath) -> str:
        """The storage of files that may still be changed; raises PathNotFound, or Conflict for a finalized version."""
        if isinstance(path, TrackingPath):
            await self._artifacts.create(STORAGE)
            return STORAGE
        version = await self.version(path)
        check_writable(version)
        return version.storage

    async def upload(self, path: FilePath, content: AsyncIterator[bytes], *, overwrite: bool) -> Entry:
        """Stores a file; raises Conflict if the version is final, AlreadyExists without `overwrite`, TooLarge."""
        storage = await self.writable(require_file(path))
        return await self._artifacts.put(storage, path.path, self.bounded(content), overwrite=overwrite)

    async def delete(self, path: FilePath, *, directory: bool) -> None:
        """Deletes a file or an empty directory; raises Conflict if its version is final."""
        storage = await self.writable(path)
        entry = await self._artifacts.stat(storage, path.path)
        if entry.is_directory != directory:
            raise PathNotFound(f"No {'directory' if directory else 'file'} at '{path}'.")
        await self._artifacts.delete(storage, path.path)

    async def delete_tree(self, path: TrackingPath) -> None:
        """Deletes a file, or a directory with everything in it."""
        require_file(path)
        storage = await self.writable(path)
        await self._delete_below(storage, await self._artifacts.stat(storage, path.path))

    async def _delete_below(self, storage: str, entry: Entry) -> None:
        while entry.is_directory and (below := await self._artifacts.list(storage, entry.path)):
            for each in below:
                await self._delete_below(storage, each)
        await self._artifacts.delete(storage, entry.path)

    async def make_directory(self, path: FilePath) -> None:
        """Makes a directory with its parents; safe to repeat."""
        await self._artifacts.make_directory(await self.writable(path), path.path)

    async def stat(self, path: FilePath, *, directory: bool) -> Entry:
        """The file, or the directory; raises PathNotFound if it is not there or the other of the two."""
        entry = await self._artifacts.stat(await self._readable(path), path.path)
        if entry.is_directory != directory:
            raise PathNotFound(f"No {'directory' if directory else 'file'} at '{path}'.")
        return entry

    async def list(self, path: FilePath, after: str, limit: int) -> Sequence[Entry]:
        """What is in a directory, by name."""
        if after:
            check_segment(after)
        return await self._artifacts.list(await self._readable(path), path.path, after=after, limit=limit)

    async def read(self, path: FilePath, start: int, length: int) -> AsyncIterator[bytes]:
        """The file's bytes."""
        return self._artifacts.read(await self._readable(path), path.path, start=start, length=length)

    async def ticket(
        self, verb: str, path: FilePath, expires_at: int | None = None, *, session: str = "", part: int = 0
    ) -> Ticket:
        """Signs one permission. It ends when the client asks (`expires_at`, epoch ms), or when the setting says."""
        if verb == GET:
            await self.stat(path, directory=False)
            storage = await self._readable(path)
        else:
            storage = await self.writable(require_file(path))
        now = self._clock.now_ms()
        latest = now + self._limits.url_expiry_ms
        ends = latest if expires_at is None else min(latest, expires_at)
        if ends <= now:
            raise InvalidParameter("expire_time must be in the future.")
        grant = Grant(verb, storage, str(path), ends, session, part)
        return Ticket(path, ends, self._signer.sign(grant), session, part)

    async def check(self, verb: str, ticket: Ticket) -> None:
        """Raises PermissionDenied unless the ticket is one that this server signed for the verb, and still good."""
        if ticket.expires_at < self._clock.now_ms():
            raise PermissionDenied("The signed address has expired. Ask for a new one.")
        storage = await self.storage(ticket.path)
        grant = Grant(verb, storage, str(ticket.path), ticket.expires_at, ticket.session, ticket.part)
        if not self._signer.verify(grant, ticket.signature):
            raise PermissionDenied("The signature of the address is wrong.")

    async def bounded(self, content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The same bytes, ending in TooLarge when there are more than may be uploaded."""
        limit, taken = self._limits.max_upload_bytes, 0
        async for chunk in content:
            taken += len(chunk)
            if taken > limit:
                raise TooLarge(f"The file is larger than {limit} bytes, the most that may be uploaded at once.")
            yield chunk
