"""Rows of multipart uploads; the contract is `penstock.ports.upload_rows`."""

from collections.abc import Sequence

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.adapters.store.tables.catalog import UPLOADS
from penstock.ports.upload_rows import Upload, UploadState


class SqlUploadRows:
    """See `penstock.ports.upload_rows.UploadRows`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, upload: Upload) -> None:
        """Adds an upload."""
        await self._connection.execute(
            insert(UPLOADS).values(
                session=upload.session,
                storage=upload.storage,
                path=upload.path,
                state=upload.state.value,
                created_at=upload.created_at,
                updated_at=upload.updated_at,
            )
        )

    async def get(self, session: str) -> Upload | None:
        """One upload."""
        row = (await self._connection.execute(select(UPLOADS).where(UPLOADS.c.session == session))).first()
        if row is None:
            return None
        return Upload(row.session, row.storage, row.path, UploadState(row.state), row.created_at, row.updated_at)

    async def end(self, session: str, state: UploadState, now_ms: int) -> bool:
        """Ends an open upload."""
        result = await self._connection.execute(
            update(UPLOADS)
            .where(UPLOADS.c.session == session, UPLOADS.c.state == UploadState.OPEN.value)
            .values(state=state.value, updated_at=now_ms)
        )
        return result.rowcount > 0

    async def touch(self, session: str, now_ms: int) -> None:
        """Notes that something was uploaded."""
        await self._connection.execute(update(UPLOADS).where(UPLOADS.c.session == session).values(updated_at=now_ms))

    async def stale(self, updated_before: int, *, limit: int = 100) -> Sequence[Upload]:
        """Uploads that nothing happened to, oldest first."""
        rows = await self._connection.execute(
            select(UPLOADS)
            .where(UPLOADS.c.updated_at < updated_before)
            .order_by(UPLOADS.c.updated_at, UPLOADS.c.session)
            .limit(limit)
        )
        return [
            Upload(row.session, row.storage, row.path, UploadState(row.state), row.created_at, row.updated_at)
            for row in rows
        ]

    async def remove(self, sessions: Sequence[str]) -> None:
        """Removes uploads."""
        await self._connection.execute(delete(UPLOADS).where(UPLOADS.c.session.in_(sessions)))

    async def sessions(self) -> frozenset[str]:
        """All sessions."""
        return frozenset(await self._connection.scalars(select(UPLOADS.c.session)))
