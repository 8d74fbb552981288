"""Rows of batches and of their files; the contract is `penstock.ports.batch_rows`."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, Select, Table, delete, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.adapters.store.database import insert_into
from penstock.adapters.store.tables.batches import BATCH_FILES, BATCHES
from penstock.domain.batch import OPEN, Batch, BatchState, Counts, Problem, Purpose, StoredFile
from penstock.ports.batch_rows import Page


class SqlBatchRows:
    """See `penstock.ports.batch_rows.BatchRows`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def put_file(self, file: StoredFile) -> None:
        """Adds or replaces a file."""
        values = {
            "id": file.id,
            "owner": file.owner,
            "purpose": file.purpose.value,
            "filename": file.filename,
            "size": file.size,
            "created_at": file.created_at,
            "expires_at": file.expires_at,
        }
        await self._put(BATCH_FILES, values)

    async def file(self, file_id: str) -> StoredFile | None:
        """One file."""
        row = (await self._connection.execute(select(BATCH_FILES).where(BATCH_FILES.c.id == file_id))).first()
        return _file(row) if row else None

    async def files(self, page: Page, purpose: Purpose | None = None) -> Sequence[StoredFile]:
        """Files of a purpose, or of all."""
        query = _paged(BATCH_FILES, page)
        if purpose is not None:
            query = query.where(BATCH_FILES.c.purpose == purpose.value)
        return [_file(row) for row in await self._connection.execute(query)]

    async def file_ids(self) -> frozenset[str]:
        """The ids of all files."""
        return frozenset(await self._connection.scalars(select(BATCH_FILES.c.id)))

    async def expired_files(self, now_ms: int, *, limit: int) -> Sequence[StoredFile]:
        """Files that have expired."""
        expires_at = BATCH_FILES.c.expires_at
        query = select(BATCH_FILES).where(expires_at > 0, expires_at <= now_ms).order_by(expires_at, BATCH_FILES.c.id)
        return [_file(row) for row in await self._connection.execute(query.limit(limit))]

    async def size_of_files(self, owner: str) -> int:
        """The bytes of all files of an owner."""
        query = select(func.sum(BATCH_FILES.c.size)).where(BATCH_FILES.c.owner == owner)
        return int(await self._connection.scalar(query) or 0)

    async def remove_file(self, file_id: str) -> None:
        """Removes a file."""
        await self._connection.execute(delete(BATCH_FILES).where(BATCH_FILES.c.id == file_id))

    async def put(self, batch: Batch) -> None:
        """Adds or replaces a batch."""
        values = {
            "id": batch.id,
            "owner": batch.owner,
            "url": batch.url,
            "input_file": batch.input_file,
            "state": batch.state.value,
            "created_at": batch.created_at,
            "metadata": dict(batch.metadata),
            "times": dict(batch.times),
            "total": batch.counts.total,
            "completed": batch.counts.completed,
            "failed": batch.counts.failed,
            "problems": [[problem.code, problem.message, problem.line] for problem in batch.problems],
            "output_file": batch.output_file,
            "error_file": batch.error_file,
            "output_expiry_s": batch.output_expiry_s,
        }
        await self._put(BATCHES, values)

    async def get(self, batch_id: str) -> Batch | None:
        """One batch."""
        row = (await self._connection.execute(select(BATCHES).where(BATCHES.c.id == batch_id))).first()
        return _batch(row) if row else None

    async def page(self, page: Page) -> Sequence[Batch]:
        """Batches."""
        return [_batch(row) for row in await self._connection.execute(_paged(BATCHES, page))]

    async def open(self) -> Sequence[Batch]:
        """All that have not ended."""
        states = sorted(state.value for state in OPEN)
        query = select(BATCHES).where(BATCHES.c.state.in_(states)).order_by(BATCHES.c.created_at, BATCHES.c.id)
        return [_batch(row) for row in await self._connection.execute(query)]

    async def _put(self, table: Table, values: Mapping[str, object]) -> None:
        fresh = {name: value for name, value in values.items() if name != "id"}
        added = insert_into(self._connection, table).values(**values)
        await self._connection.execute(added.on_conflict_do_update(index_elements=["id"], set_=fresh))


def _paged(table: Table, page: Page) -> Select[Any]:
    key = tuple_(table.c.created_at, table.c.id)
    query = select(table).limit(page.limit)
    if page.owner is not None:
        query = query.where(table.c.owner == page.owner)
    if page.after:
        mark = select(table.c.created_at, table.c.id).where(table.c.id == page.after).scalar_subquery()
        query = query.where(key > mark if page.oldest_first else key < mark)
    if page.oldest_first:
        return query.order_by(table.c.created_at, table.c.id)
    return query.order_by(table.c.created_at.desc(), table.c.id.desc())


def _file(row: Row[Any]) -> StoredFile:
    return StoredFile(row.id, row.owner, Purpose(row.purpose), row.filename, row.size, row.created_at, row.expires_at)


def _batch(row: Row[Any]) -> Batch:
    values = row._mapping  # noqa: SLF001 - a column is called like an attribute of rows
    return Batch(
        id=values["id"],
        owner=values["owner"],
        url=values["url"],
        input_file=values["input_file"],
        state=BatchState(values["state"]),
        created_at=values["created_at"],
        metadata=values["metadata"],
        times=values["times"],
        counts=Counts(values["total"], values["completed"], values["failed"]),
        problems=tuple(Problem(*problem) for problem in values["problems"]),
        output_file=values["output_file"],
        error_file=values["error_file"],
        output_expiry_s=values["output_expiry_s"],
    )
