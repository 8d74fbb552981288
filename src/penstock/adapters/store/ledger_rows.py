"""Rows of the ledger's minutes and hours; the contract is `penstock.ports.ledger_rows`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, Table, delete, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.adapters.store.database import insert_into, unique
from penstock.adapters.store.tables.ledger import HOURS, MINUTES, PROMISES
from penstock.domain.ledger_hour import HourKey, LedgerHour
from penstock.domain.ledger_minute import Key, LedgerMinute, Percentiles, Promise, Totals


class SqlLedgerRows:
    """See `penstock.ports.ledger_rows.LedgerRows`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add_minutes(self, rows: Sequence[LedgerMinute]) -> None:
        """Adds rows."""
        if rows:
            async with unique(self._connection, "A minute of the ledger is there already."):
                await self._connection.execute(insert(MINUTES), [dict(_of_minute(row)) for row in rows])

    async def minutes(self, after: int, *, limit: int = 1000) -> Sequence[LedgerMinute]:
        """Rows by number."""
        query = select(MINUTES).where(MINUTES.c.number > after).order_by(MINUTES.c.number).limit(limit)
        return [_minute(row) for row in await self._connection.execute(query)]

    async def between(self, since: int, until: int, endpoint: str = "") -> Sequence[LedgerMinute]:
        """Rows by time and endpoint."""
        query = select(MINUTES).where(MINUTES.c.minute >= since, MINUTES.c.minute < until)
        if endpoint:
            query = query.where(or_(MINUTES.c.endpoint_id == endpoint, MINUTES.c.endpoint_name == endpoint))
        return [_minute(row) for row in await self._connection.execute(query.order_by(MINUTES.c.number))]

    async def last(self) -> LedgerMinute | None:
        """The row with the highest number."""
        query = select(MINUTES).order_by(MINUTES.c.number.desc()).limit(1)
        row = (await self._connection.execute(query)).one_or_none()
        return _minute(row) if row is not None else None

    async def count(self) -> int:
        """How many minutes there are."""
        return await self._number(MINUTES)

    async def add_hours(self, rows: Sequence[LedgerHour]) -> None:
        """Adds rows."""
        if rows:
            async with unique(self._connection, "An hour of the ledger is there already."):
                await self._connection.execute(insert(HOURS), [dict(_of_hour(row)) for row in rows])

    async def hours(self) -> Sequence[LedgerHour]:
        """All hours."""
        query = select(HOURS).order_by(HOURS.c.hour)
        found = [_hour(row) for row in await self._connection.execute(query)]
        return sorted(found, key=lambda row: row.key)

    async def last_hour(self) -> int:
        """The latest hour."""
        return int(await self._connection.scalar(select(func.max(HOURS.c.hour))) or 0)

    async def promises(self) -> Mapping[Key, Promise]:
        """Promises of open minutes."""
        rows = await self._connection.execute(select(PROMISES))
        return {Key(row.minute, row.endpoint_id, row.served_entity): _promise(row) for row in rows}

    async def set_promises(self, promises: Mapping[Key, Promise]) -> None:
        """Keeps promises."""
        if not promises:
            return
        statement = insert_into(self._connection, PROMISES)
        newer = {name: statement.excluded[name] for name in ("promised_milli", "peak", "chunk", "known_ms")}
        statement = statement.on_conflict_do_update(index_elements=list(PROMISES.primary_key), set_=newer)
        values = [{**dict(_of_key(key)), **dict(_of_promise(promise))} for key, promise in promises.items()]
        await self._connection.execute(statement, values)

    async def forget_promises(self, until: int) -> None:
        """Removes those before `until`."""
        await self._connection.execute(delete(PROMISES).where(PROMISES.c.minute < until))

    async def _number(self, table: Table) -> int:
        return int(await self._connection.scalar(select(func.count()).select_from(table)) or 0)


def _of_key(key: Key) -> Iterator[tuple[str, object]]:
    yield from (("minute", key.minute), ("endpoint_id", key.endpoint_id), ("served_entity", key.entity))


def _of_promise(promise: Promise) -> Iterator[tuple[str, object]]:
    yield from (("promised_milli", promise.milli), ("peak", promise.peak))
    yield from (("chunk", promise.chunk), ("known_ms", promise.known_ms))


def _of_totals(totals: Totals) -> Iterator[tuple[str, object]]:
    yield from ((name, getattr(totals, name)) for name in Totals.__slots__)


def _of_percentiles(measure: str, given: Percentiles) -> Iterator[tuple[str, object]]:
    yield from ((f"{measure}_{name}_ms", getattr(given, name)) for name in Percentiles.__slots__)


def _of_minute(row: LedgerMinute) -> Iterator[tuple[str, object]]:
    yield from (("number", row.number), ("endpoint_name", row.endpoint_name))
    yield from _of_key(row.key)
    yield from _of_promise(row.promise)
    yield from _of_totals(row.totals)
    yield from _of_percentiles("ttft", row.ttft)
    yield from _of_percentiles("tpot", row.tpot)
    yield from _of_percentiles("queue", row.queue)
    yield from (("refusals", json.dumps(row.refusals)), ("requests_digest", row.requests_digest))
    yield from (("previous", row.previous), ("hash", row.hash))


def _of_hour(row: LedgerHour) -> Iterator[tuple[str, object]]:
    yield from (("hour", row.key.hour), ("endpoint_id", row.key.endpoint_id), ("served_entity", row.key.entity))
    yield from (("endpoint_name", row.endpoint_name), ("minutes", row.minutes))
    yield from (("promised_milli", row.promised_milli), ("peak", row.peak), ("chunk", row.chunk))
    yield from _of_totals(row.totals)
    yield "minutes_digest", row.minutes_digest


def _promise(row: Row[Any]) -> Promise:
    return Promise(row.promised_milli, row.peak, row.chunk, row.known_ms)


def _totals(row: Row[Any]) -> Totals:
    return Totals(*(getattr(row, name) for name in Totals.__slots__))


def _percentiles(row: Row[Any], measure: str) -> Percentiles:
    return Percentiles(*(getattr(row, f"{measure}_{name}_ms") for name in Percentiles.__slots__))


def _minute(row: Row[Any]) -> LedgerMinute:
    return LedgerMinute(
        row.number,
        Key(row.minute, row.endpoint_id, row.served_entity),
        row.endpoint_name,
        _promise(row),
        _totals(row),
        _percentiles(row, "ttft"),
        _percentiles(row, "tpot"),
        _percentiles(row, "queue"),
        _refusals(row.refusals),
        row.requests_digest,
        row.previous,
        row.hash,
    )


def _refusals(text: str) -> tuple[tuple[str, int], ...]:
    """As written; a text that is no longer JSON is given back whole, for `penstock ledger verify` to name."""
    try:
        return tuple((str(reason), int(count)) for reason, count in json.loads(text))
    except (ValueError, TypeError):
        return ((text, 0),)


def _hour(row: Row[Any]) -> LedgerHour:
    return LedgerHour(
        HourKey(row.hour, row.endpoint_id, row.served_entity),
        row.endpoint_name,
        row.minutes,
        row.promised_milli,
        row.peak,
        row.chunk,
        _totals(row),
        row.minutes_digest,
    )
