"""Checks the ledger against the rows of its requests, reading both once, in order."""

from collections.abc import Callable

from penstock.domain.ledger_audit import Audit, Verdict
from penstock.domain.ledger_entry import MINUTE_MS
from penstock.domain.usage import RequestRecord
from penstock.ports.store import Unit

PAGE = 1000


class _Requests:
    """The requests that the ledger counts, by (minute, id), a page at a time."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._page: list[RequestRecord] = []
        self._after = (0, "")

    async def until(self, minute: int | None) -> list[RequestRecord]:
        """The next page, as far as it counts in minutes up to `minute`; empty when there are none."""
        if not self._page:
            self._page = list(await self._unit.requests.in_ledger(self._after, limit=PAGE))
            if self._page:
                self._after = (self._page[-1].minute, self._page[-1].request_id)
        taken = [record for record in self._page if minute is None or record.minute <= minute]
        self._page = self._page[len(taken) :]
        return taken


async def verify(
    unit: Unit, noted: tuple[int, str] | None = None, progress: Callable[[int, int], None] | None = None
) -> Verdict:
    """Recomputes the chain and every sum; raises Temporary.

    `noted` is a row's number and hash, as a check before told them. `progress` is told how many rows are done, of how
    many. All is read in the one transaction of `unit`, so that a server may go on writing meanwhile.
    """
    audit, requests = Audit(noted), _Requests(unit)
    horizon = int(await unit.requests.longest_ms()) + 2 * MINUTE_MS
    total = await unit.requests.count() + await unit.ledger.count()
    findings: list[str] = []
    done = 0

    async def take(minute: int | None) -> None:
        nonlocal done
        while page := await requests.until(minute):
            for record in page:
                findings.extend(audit.request(record))
            done += len(page)
            if progress:
                progress(done, total)

    number = -1
    while rows := await unit.ledger.minutes(number, limit=PAGE):
        for row in rows:
            await take(row.key.minute + horizon)
            findings.extend(audit.minute(row))
        number = rows[-1].number
        done += len(rows)
        if progress:
            progress(done, total)
    await take(None)
    hours = await unit.ledger.hours()
    findings.extend(audit.end(hours))
    return audit.verdict(findings, len(hours))
