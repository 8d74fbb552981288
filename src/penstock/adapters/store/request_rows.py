"""Rows of the request ledger; the contract is `penstock.ports.request_rows`."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.adapters.store.database import insert_into
from penstock.adapters.store.tables.requests import REQUESTS
from penstock.domain.usage import RequestOutcome, RequestRecord, Usage


class SqlRequestRows:
    """See `penstock.ports.request_rows.RequestRows`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, records: Sequence[RequestRecord]) -> int:
        """Adds the records that are not there."""
        by_id = {record.request_id: record for record in reversed(records)}
        there = select(REQUESTS.c.request_id).where(REQUESTS.c.request_id.in_(by_id))
        for row in await self._connection.execute(there):
            del by_id[row.request_id]
        if by_id:
            added = insert_into(self._connection, REQUESTS).on_conflict_do_nothing()
            await self._connection.execute(added, [_values(record) for record in by_id.values()])
        return len(by_id)

    async def of(self, endpoint_id: str, *, limit: int = 1000) -> Sequence[RequestRecord]:
        """The newest records."""
        newest = (REQUESTS.c.received_at.desc(), REQUESTS.c.request_id)
        query = select(REQUESTS).where(REQUESTS.c.endpoint_id == endpoint_id).order_by(*newest).limit(limit)
        return [_record(row) for row in await self._connection.execute(query)]

    async def get(self, request_id: str) -> RequestRecord | None:
        """One record."""
        row = (await self._connection.execute(select(REQUESTS).where(REQUESTS.c.request_id == request_id))).first()
        return _record(row) if row else None


def _values(record: RequestRecord) -> dict[str, object]:
    return {
        "request_id": record.request_id,
        "endpoint_id": record.endpoint_id,
        "endpoint_name": record.endpoint_name,
        "served_entity": record.served_entity,
        "replica_id": record.replica_id,
        "principal": record.principal,
        "task": record.task,
        "streaming": record.streaming,
        "received_at": record.received_at,
        "outcome": record.outcome.value,
        "status": record.status,
        "prompt_tokens": record.usage.prompt_tokens,
        "completion_tokens": record.usage.completion_tokens,
        "cached_tokens": record.usage.cached_tokens,
        "queue_ms": record.queue_ms,
        "ttft_ms": record.ttft_ms,
        "duration_ms": record.duration_ms,
        "reason": record.reason,
        "client_request_id": record.client_request_id,
    }


def _record(row: Row[Any]) -> RequestRecord:
    return RequestRecord(
        request_id=row.request_id,
        endpoint_id=row.endpoint_id,
        endpoint_name=row.endpoint_name,
        served_entity=row.served_entity,
        replica_id=row.replica_id,
        principal=row.principal,
        task=row.task,
        streaming=row.streaming,
        received_at=row.received_at,
        outcome=RequestOutcome(row.outcome),
        status=row.status,
        usage=Usage(row.prompt_tokens, row.completion_tokens, row.cached_tokens),
        queue_ms=row.queue_ms,
        ttft_ms=row.ttft_ms,
        duration_ms=row.duration_ms,
        reason=row.reason,
        client_request_id=row.client_request_id,
    )
