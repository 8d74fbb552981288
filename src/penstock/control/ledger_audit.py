"""Checks the ledger against the rows of its requests, reading all once, in order, a page at a time."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic, TypeVar

from penstock.domain.ledger_audit import LONGEST_MS, Audit, Verdict
from penstock.domain.ledger_chain import Link
from penstock.domain.ledger_checkpoint import Part
from penstock.domain.ledger_entry import MINUTE_MS
from penstock.domain.ledger_hour import hour_of
from penstock.domain.usage import RequestRecord
from penstock.ports.store import Unit

PAGE = 1000
MOST_FINDINGS = 1000
"""So many are kept; the others are counted."""
_Row = TypeVar("_Row")


class _Rows(Generic[_Row]):
    """Rows by number, with a look at the next one."""

    def __init__(self, pages: Callable[[int], Awaitable[Sequence[_Row]]], number: Callable[[_Row], int]) -> None:
        self._pages = pages
        self._number = number
        self._page: Sequence[_Row] = ()
        self._at = 0
        self.after = 0

    async def peek(self) -> _Row | None:
        """The next one; None if there is none."""
        if self._at == len(self._page):
            self._page, self._at = await self._pages(self.after), 0
        return self._page[self._at] if self._page else None

    async def take(self) -> _Row | None:
        """The next one, and moves on."""
        row = await self.peek()
        if row is not None:
            self._at += 1
            self.after = self._number(row)
        return row


class _Requests:
    """The requests that the ledger counts, by (minute, id), a page at a time."""

    def __init__(self, unit: Unit, since: int) -> None:
        self._unit = unit
        self._page: list[RequestRecord] = []
        self._after = (max(since - 1, 0), "")

    async def until(self, minute: int | None) -> list[RequestRecord]:
        """The next page, as far as it counts in minutes up to `minute`; empty when there are none."""
        if not self._page:
            self._page = list(await self._unit.requests.in_ledger(self._after, limit=PAGE))
            if self._page:
                self._after = (self._page[-1].minute, self._page[-1].request_id)
        taken = [record for record in self._page if minute is None or record.minute <= minute]
        self._page = self._page[len(taken) :]
        return taken


class _Check:
    """One check on its way."""

    def __init__(self, unit: Unit, audit: Audit, total: int, progress: Callable[[int, int], None] | None) -> None:
        self._audit = audit
        self._requests = _Requests(unit, audit.since(Part.REQUESTS))
        self._minutes = _Rows(lambda after: unit.ledger.minutes(after, limit=PAGE), lambda row: row.number)
        self._minutes.after, _ = audit.link(Part.MINUTES)
        self._hours = _Rows(lambda after: unit.ledger.hours(after, limit=PAGE), lambda row: row.number)
        self._hours.after, _ = audit.link(Part.HOURS)
        self._total = total
        self._done = 0
        self._hour: int | None = -1
        self._progress = progress
        self.findings: list[str] = []
        self.faults = 0

    async def run(self, horizon: int) -> None:
        """Takes everything; a minute's requests count in minutes up to `horizon` after it."""
        self._found(self._audit.begin())
        while (row := await self._minutes.take()) is not None:
            following = await self._minutes.peek()
            # A row whose time was altered does not send the reading far ahead of the others.
            minute = row.key.minute if following is None else min(row.key.minute, following.key.minute)
            await self._take_requests(minute + horizon)
            await self._take_hours(hour_of(minute))
            self._found(self._audit.minute(row))
            self._count(1)
        await self._take_requests(None)
        await self._take_hours(None)
        self._found(self._audit.end())

    async def _take_requests(self, minute: int | None) -> None:
        while page := await self._requests.until(minute):
            for record in page:
                self._found(self._audit.request(record))
            self._count(len(page))

    async def _take_hours(self, before: int | None) -> None:
        if before == self._hour:
            return
        self._hour = before
        while (row := await self._hours.peek()) is not None and (before is None or row.key.hour < before):
            await self._hours.take()
            self._found(self._audit.hour(row))
            self._count(1)
        if before is not None:
            self._audit.hours_passed(before)

    def _found(self, findings: Iterable[str]) -> None:
        for finding in findings:
            self.faults += 1
            if len(self.findings) < MOST_FINDINGS:
                self.findings.append(finding)

    def _count(self, rows: int) -> None:
        self._done += rows
        if self._progress:
            self._progress(self._done, self._total)


async def verify(unit: Unit, noted: Link | None = None, progress: Callable[[int, int], None] | None = None) -> Verdict:
    """Recomputes the chains and every sum; raises Temporary.

    `noted` is a row's number and hash, as a check before told them. `progress` is told how many rows are done, of how
    many. All is read in the one transaction of `unit`, so that a server may go on writing meanwhile.
    """
    audit = Audit(await unit.ledger.checkpoints(), noted)
    total = await unit.requests.count() + await unit.ledger.count()
    check = _Check(unit, audit, total, progress)
    await check.run(int(await unit.requests.longest_ms(LONGEST_MS)) + 2 * MINUTE_MS)
    return audit.verdict(check.findings, check.faults)
