"""Rows of the ledger's minutes and hours; the contract is `penstock.ports.ledger_rows`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Row, Select, Table, delete, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.adapters.store.damage import Kinds
from penstock.adapters.store.database import insert_into, unique
from penstock.adapters.store.tables.ledger import CHECKPOINTS, HOURS, MINUTES, PROMISES
from penstock.domain.ledger_checkpoint import Checkpoint, Part
from penstock.domain.ledger_hour import HourKey, LedgerHour
from penstock.domain.ledger_minute import Key, LedgerMinute, Percentiles
from penstock.domain.ledger_sums import Promise, Totals

_MINUTES = Kinds(MINUTES, "hash")
_HOURS = Kinds(HOURS, "hash")
_CHECKPOINTS = Kinds(CHECKPOINTS, "seal")


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
        query = _between(MINUTES, MINUTES.c.minute, since, until, endpoint)
        return [_minute(row) for row in await self._connection.execute(query)]

    async def last(self) -> LedgerMinute | None:
        """The row with the highest number."""
        row = await self._last(select(MINUTES), MINUTES)
        return _minute(row) if row is not None else None

    async def last_before(self, minute: int) -> LedgerMinute | None:
        """The last row before a minute."""
        # By the index of minutes: the newest rows, which are most of them, are not looked at.
        latest = select(func.max(MINUTES.c.minute)).where(MINUTES.c.minute < minute).scalar_subquery()
        row = await self._last(select(MINUTES).where(MINUTES.c.minute == latest), MINUTES)
        return _minute(row) if row is not None else None

    async def endpoints(self) -> Mapping[str, str]:
        """Names by id."""
        found: dict[str, str] = {}
        for table in (HOURS, MINUTES):
            query = select(table.c.endpoint_id, table.c.endpoint_name).distinct()
            found.update({row.endpoint_id: row.endpoint_name for row in await self._connection.execute(query)})
        return found

    async def count(self) -> int:
        """How many minutes and hours there are."""
        return await self._number(MINUTES) + await self._number(HOURS)

    async def add_hours(self, rows: Sequence[LedgerHour]) -> None:
        """Adds rows."""
        if rows:
            async with unique(self._connection, "An hour of the ledger is there already."):
                await self._connection.execute(insert(HOURS), [dict(_of_hour(row)) for row in rows])

    async def hours(self, after: int, *, limit: int = 1000) -> Sequence[LedgerHour]:
        """Hours by number."""
        query = select(HOURS).where(HOURS.c.number > after).order_by(HOURS.c.number).limit(limit)
        return [_hour(row) for row in await self._connection.execute(query)]

    async def hours_between(self, since: int, until: int, endpoint: str = "") -> Sequence[LedgerHour]:
        """Hours by time and endpoint."""
        query = _between(HOURS, HOURS.c.hour, since, until, endpoint)
        return [_hour(row) for row in await self._connection.execute(query)]

    async def last_hour(self) -> LedgerHour | None:
        """The hour with the highest number."""
        row = await self._last(select(HOURS), HOURS)
        return _hour(row) if row is not None else None

    async def last_hour_before(self, hour: int) -> LedgerHour | None:
        """The last one before an hour."""
        row = await self._last(select(HOURS).where(HOURS.c.hour < hour), HOURS)
        return _hour(row) if row is not None else None

    async def checkpoints(self) -> Mapping[Part, Checkpoint]:
        """What retention has taken."""
        rows = await self._connection.execute(select(CHECKPOINTS).order_by(CHECKPOINTS.c.part))
        known = [_CHECKPOINTS.readable(row) for row in rows if row.part in {part.value for part in Part}]
        return {
            Part(row.part): Checkpoint(Part(row.part), row.until, row.number, row.hash, row.made_at, row.seal)
            for row in known
        }

    async def set_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Keeps it."""
        values = {name: getattr(checkpoint, name) for name in ("until", "number", "hash", "made_at", "seal")}
        added = insert_into(self._connection, CHECKPOINTS).values(part=checkpoint.part.value, **values)
        await self._connection.execute(added.on_conflict_do_update(index_elements=["part"], set_=values))

    async def remove(self, part: Part, number: int, *, limit: int) -> int:
        """Removes minutes or hours."""
        table = MINUTES if part is Part.MINUTES else HOURS
        first = select(table.c.number).where(table.c.number <= number).order_by(table.c.number).limit(limit)
        done = await self._connection.execute(delete(table).where(table.c.number.in_(first)))
        return int(done.rowcount)

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

    async def _last(self, query: Select[Any], table: Table) -> Row[Any] | None:
        found = await self._connection.execute(query.order_by(table.c.number.desc()).limit(1))
        row: Row[Any] | None = found.one_or_none()
        return row

    async def _number(self, table: Table) -> int:
        return int(await self._connection.scalar(select(func.count()).select_from(table)) or 0)


def _between(table: Table, time: Column[Any], since: int, until: int, endpoint: str) -> Select[Any]:
    query = select(table).where(time >= since, time < until)
    if endpoint:
        query = query.where(or_(table.c.endpoint_id == endpoint, table.c.endpoint_name == endpoint))
    return query.order_by(table.c.number)


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
    yield from (("number", row.number), ("hour", row.key.hour), ("endpoint_id", row.key.endpoint_id))
    yield from (("served_entity", row.key.entity), ("endpoint_name", row.endpoint_name))
    yield from (("minutes", row.minutes), ("chunks", row.chunks))
    yield from _of_promise(row.promise)
    yield from _of_totals(row.totals)
    yield from (("minutes_digest", row.minutes_digest), ("previous", row.previous), ("hash", row.hash))


def _promise(row: Any) -> Promise:
    return Promise(row.promised_milli, row.peak, row.chunk, row.known_ms)


def _totals(row: Any) -> Totals:
    return Totals(*(getattr(row, name) for name in Totals.__slots__))


def _percentiles(row: Any, measure: str) -> Percentiles:
    return Percentiles(*(getattr(row, f"{measure}_{name}_ms") for name in Percentiles.__slots__))


def _minute(found: Row[Any]) -> LedgerMinute:
    row = _MINUTES.readable(found)
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


def _hour(found: Row[Any]) -> LedgerHour:
    row = _HOURS.readable(found)
    return LedgerHour(
        row.number,
        HourKey(row.hour, row.endpoint_id, row.served_entity),
        row.endpoint_name,
        row.minutes,
        _promise(row),
        row.chunks,
        _totals(row),
        row.minutes_digest,
        row.previous,
        row.hash,
    )
