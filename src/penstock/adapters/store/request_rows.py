"""Rows of the request ledger; the contract is `penstock.ports.request_rows`."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Row, and_, delete, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.adapters.store.damage import Kinds
from penstock.adapters.store.tables.requests import REQUESTS
from penstock.domain.usage import RequestOutcome, RequestRecord, Usage

SIZES = (500, 100, 20, 4, 1)
"""Rows of a statement. A few sizes only: drivers keep each statement that they have seen, and large ones are large."""

_KINDS = Kinds(REQUESTS, "digest")
_OUTCOMES = {outcome.value: outcome for outcome in RequestOutcome}


class SqlRequestRows:
    """See `penstock.ports.request_rows.RequestRows`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, records: Sequence[RequestRecord]) -> int:
        """Adds the records that are not there, in statements of many rows: half the time of one row each."""
        style = self._connection.dialect.paramstyle
        added = start = 0
        while start < len(records):
            rows = next(size for size in SIZES if size <= len(records) - start)
            values = tuple(value for record in records[start : start + rows] for value in _values(record))
            added += (await self._connection.exec_driver_sql(_insert(rows, style), values)).rowcount
            start += rows
        return added

    async def in_ledger(self, after: tuple[int, str], *, limit: int = 1000) -> Sequence[RequestRecord]:
        """Records by (minute, request id)."""
        minute, request_id = REQUESTS.c.minute, REQUESTS.c.request_id
        beyond = or_(minute > after[0], and_(minute == after[0], request_id > after[1]))
        query = select(REQUESTS).where(minute >= max(after[0], 1), beyond).order_by(minute, request_id).limit(limit)
        return [_record(row) for row in await self._connection.execute(query)]

    async def longest_ms(self, up_to: float) -> float:
        """The longest duration."""
        query = select(func.max(REQUESTS.c.duration_ms)).where(REQUESTS.c.duration_ms <= up_to)
        return float(await self._connection.scalar(query) or 0.0)

    async def count(self) -> int:
        """How many the ledger counts."""
        query = select(func.count()).select_from(REQUESTS).where(REQUESTS.c.minute > 0)
        return int(await self._connection.scalar(query) or 0)

    async def remove(self, until: int, *, limit: int) -> int:
        """Removes old records."""
        minute, request_id = REQUESTS.c.minute, REQUESTS.c.request_id
        old = (minute < until, REQUESTS.c.received_at < until)
        first = select(request_id).where(*old).order_by(minute, request_id).limit(limit)
        done = await self._connection.execute(delete(REQUESTS).where(request_id.in_(first)))
        return int(done.rowcount)

    async def get(self, request_id: str) -> RequestRecord | None:
        """One record."""
        row = (await self._connection.execute(select(REQUESTS).where(REQUESTS.c.request_id == request_id))).first()
        return _record(row) if row else None


@lru_cache(maxsize=8)
def _insert(rows: int, style: str) -> str:
    """An insert of so many rows with the driver's own marks for values."""
    columns = [column.name for column in REQUESTS.columns]
    numbers = range(1, rows * len(columns) + 1)
    marks = [f"${number}" for number in numbers] if style == "numeric_dollar" else ["?"] * len(numbers)
    groups = (", ".join(marks[start : start + len(columns)]) for start in range(0, len(marks), len(columns)))
    listed = ", ".join(f"({group})" for group in groups)
    return f"INSERT INTO {REQUESTS.name} ({', '.join(columns)}) VALUES {listed} ON CONFLICT DO NOTHING"  # noqa: S608 - names of our own columns


def _values(record: RequestRecord) -> tuple[object, ...]:
    """In the order of the table's columns."""
    return (
        record.request_id,
        record.endpoint_id,
        record.endpoint_name,
        record.served_entity,
        record.replica_id,
        record.principal,
        record.task,
        record.streaming,
        record.received_at,
        record.outcome.value,
        record.status,
        record.usage.prompt_tokens,
        record.usage.completion_tokens,
        record.usage.cached_tokens,
        record.usage.measured_s,
        record.queue_ms,
        record.ttft_ms,
        record.duration_ms,
        record.reason,
        record.client_request_id,
        record.device_s,
        record.reference_tokens,
        record.asked_tokens,
        record.priority,
        record.lane,
        record.within,
        record.decision,
        record.usage.estimated,
        record.trace_id,
        record.minute,
        record.open_from,
        record.digest,
    )


def _record(found: Row[Any]) -> RequestRecord:
    row = _KINDS.readable(found)
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
        outcome=_OUTCOMES.get(row.outcome, RequestOutcome.FAILED),
        status=row.status,
        usage=Usage(row.prompt_tokens, row.completion_tokens, row.cached_tokens, row.measured_s, row.estimated),
        queue_ms=row.queue_ms,
        ttft_ms=row.ttft_ms,
        duration_ms=row.duration_ms,
        reason=row.reason,
        client_request_id=row.client_request_id,
        device_s=row.device_s,
        reference_tokens=row.reference_tokens,
        asked_tokens=row.asked_tokens,
        priority=row.priority,
        lane=row.lane,
        within=row.within,
        decision=row.decision,
        trace_id=row.trace_id,
        minute=row.minute,
        open_from=row.open_from,
        digest=row.digest if row.outcome in _OUTCOMES else "",  # altered: the check of the ledger names it
    )
