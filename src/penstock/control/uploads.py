"""Use cases of multipart uploads: begun, sent in parts in any order and as often as needed, completed or aborted."""

import secrets
from collections.abc import AsyncIterator, Sequence

from penstock.control.files import PUT, Files, Ticket
from penstock.domain.artifact_path import require_file
from penstock.domain.errors import Conflict, DoesNotExist, InvalidParameter
from penstock.domain.tracking_path import FilePath
from penstock.ports.artifacts import ArtifactStore, Part
from penstock.ports.clock import Clock
from penstock.ports.store import Store
from penstock.ports.upload_rows import Upload, UploadState

PART_LIMIT = 10_000
MAX_URLS = 1000


class Uploads:
    """Multipart uploads. A session belongs to one path, and is as hard to guess as a token."""

    def __init__(self, store: Store, clock: Clock, artifacts: ArtifactStore, files: Files) -> None:
        self._store = store
        self._clock = clock
        self._artifacts = artifacts
        self._files = files

    async def begin(self, path: FilePath, *, overwrite: bool) -> str:
        """A new session; raises Conflict if the version is final or the file is there and may not be replaced."""
        storage = await self._files.writable(require_file(path))
        if not overwrite and await self._is_there(path):
            raise Conflict(f"The file '{path}' exists already and overwrite is false.")
        now = self._clock.now_ms()
        upload = Upload(secrets.token_urlsafe(24), storage, path.path, UploadState.OPEN, now, now)
        async with self._store.unit() as unit:
            await unit.uploads.add(upload)
        return upload.session

    async def _is_there(self, path: FilePath) -> bool:
        try:
            await self._files.stat(path, directory=False)
        except DoesNotExist:
            return False
        return True

    async def part_tickets(
        self, path: FilePath, session: str, first: int, count: int, expires_at: int | None
    ) -> list[Ticket]:
        """Permissions to send `count` parts from number `first`."""
        if not 1 <= count <= MAX_URLS:
            raise InvalidParameter(f"count must be 1 to {MAX_URLS}, but is {count}.")
        if not 1 <= first <= PART_LIMIT - count + 1:
            raise InvalidParameter(f"start_part_number must be 1 to {PART_LIMIT}, but is {first} with count {count}.")
        await self._open(path, session)
        return [
            await self._files.ticket(PUT, path, expires_at, session=session, part=number)
            for number in range(first, first + count)
        ]

    async def put_part(self, path: FilePath, session: str, number: int, content: AsyncIterator[bytes]) -> str:
        """Stores a part of an open upload, in place of an earlier one of that number; returns its etag."""
        await self._open(path, session)
        etag = await self._artifacts.put_part(session, number, self._files.bounded(content))
        async with self._store.unit() as unit:
            await unit.uploads.touch(session, self._clock.now_ms())
        return etag

    async def complete(self, path: FilePath, session: str, parts: Sequence[Part]) -> None:
        """Makes one file of the parts; safe to repeat. Raises InvalidParameter naming a part that is not there."""
        if not parts:
            raise InvalidParameter("parts must name at least one uploaded part.")
        upload = await self._session(path, session)
        if upload.state is UploadState.COMPLETED:
            return
        await self._open(path, session)
        try:
            await self._artifacts.complete(session, parts, upload.storage, upload.path)
        except InvalidParameter:
            # The same call may have been sent twice, and the other one has just cleaned up.
            if (await self._session(path, session)).state is not UploadState.COMPLETED:
                raise
            return
        async with self._store.unit() as unit:
            await unit.uploads.end(session, UploadState.COMPLETED, self._clock.now_ms())
        await self._artifacts.abort(session)

    async def abort(self, path: FilePath, session: str) -> None:
        """Gives an upload up; safe to repeat, does nothing to a completed one."""
        await self._session(path, session)
        async with self._store.unit() as unit:
            await unit.uploads.end(session, UploadState.ABORTED, self._clock.now_ms())
        await self._artifacts.abort(session)

    async def _session(self, path: FilePath, session: str) -> Upload:
        storage = await self._files.storage(path)
        async with self._store.unit() as unit:
            upload = await unit.uploads.get(session)
        if upload is None or (upload.storage, upload.path) != (storage, path.path):
            raise DoesNotExist(f"session_token is not one of an upload of '{path}'.")
        return upload

    async def _open(self, path: FilePath, session: str) -> Upload:
        upload = await self._session(path, session)
        if upload.state is not UploadState.OPEN:
            raise Conflict(f"The upload of '{path}' is {upload.state.value}. Begin a new one.")
        await self._files.writable(path)
        return upload
