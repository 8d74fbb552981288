"""The audit log: noted in memory, written by a loop off the path of requests, shown to administrators."""

import asyncio
import itertools
import logging
import secrets
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, replace

from penstock.domain.audit_entry import AuditEntry, AuditFilter, Result
from penstock.domain.errors import PenstockError, Temporary
from penstock.ports.clock import Clock
from penstock.ports.store import Store

DAY_MS = 24 * 3600 * 1000
SWEEP_MS = 3600 * 1000
BATCH = 500
MOST = 20_000
"""Most entries that wait to be written; when there are as many, changes are answered with 503 until there are less."""
FULL = "What changes something is not taken now: the audit log waits for the database. Try again."
_log = logging.getLogger(__name__)


class Audit:
    """Notes what requests did. Every entry is written, in order; only refusals beyond their bound are merely counted.

    While the database is away entries wait in memory. An orderly stop writes them all, or puts them in the server's
    log if the database is still away; a process that is killed loses those of the last second.
    """

    def __init__(self, store: Store, clock: Clock, *, days: float, most: int = MOST) -> None:
        self._store = store
        self._clock = clock
        self._days = days
        self._most = most
        self._waiting: deque[AuditEntry] = deque()
        self._numbers = itertools.count()
        self._dropped = 0
        self._swept_at = 0
        self._writing = asyncio.Lock()

    def require_room(self) -> None:
        """Raises Temporary if no more can wait; before a change is carried out, so that none goes unnoted."""
        if len(self._waiting) >= self._most:
            raise Temporary(FULL)

    def record(self, entry: AuditEntry) -> None:
        """Notes a request that has ended; its id and time are set here."""
        # Half the room is left to others: who knocks at the door cannot shut it.
        if entry.result is Result.REFUSED and len(self._waiting) >= self._most // 2:
            self._dropped += 1
            return
        self._waiting.append(self._stamped(entry))

    def _stamped(self, entry: AuditEntry) -> AuditEntry:
        now = self._clock.now_ms()
        number = next(self._numbers) & 0xFFFFFFFF
        return replace(entry, id=f"{now:012x}{number:08x}{secrets.token_hex(6)}", at=now)

    async def step(self) -> str:
        """A loop's step: writes what waits, and once an hour forgets what is older than is kept."""
        await self._write()
        forgotten = await self._sweep()
        return f"{forgotten} old entries forgotten" if forgotten else ""

    async def _write(self) -> None:
        async with self._writing:
            while self._waiting or self._dropped:
                dropped = self._dropped
                batch = list(itertools.islice(self._waiting, BATCH))
                told = [self._stamped(_uncounted(dropped))] if dropped else []
                async with self._store.unit() as unit:
                    await unit.audit.add([*batch, *told])
                # Not before they are stored: what is stored already is passed over the next time.
                for _ in batch:
                    self._waiting.popleft()
                self._dropped -= dropped

    async def _sweep(self) -> int:
        now = self._clock.now_ms()
        if not self._days or now - self._swept_at < SWEEP_MS:
            return 0
        async with self._store.unit() as unit:
            forgotten = await unit.audit.sweep(now - round(self._days * DAY_MS))
        self._swept_at = now
        return forgotten

    async def finish(self) -> None:
        """Writes what waits, when nothing more comes; what cannot be written goes to the server's log."""
        try:
            await self._write()
        except PenstockError as error:
            _log.error("%d entries of the audit log could not be written: %s", len(self._waiting), error.message)
            for entry in self._waiting:
                _log.error("audit entry not stored: %s", asdict(entry))

    async def find(self, only: AuditFilter, after: str, limit: int) -> Sequence[AuditEntry]:
        """Entries, newest first; what was noted before this call is among them."""
        await self._write()
        async with self._store.unit() as unit:
            return await unit.audit.find(only, after=after, limit=limit)


def _uncounted(number: int) -> AuditEntry:
    """Says that refusals were counted and not kept."""
    return AuditEntry(
        id="", at=0, principal="", token_id="", method="", route="", object_type="audit-logs",
        object_name=f"{number} refused requests were not kept one by one", address="", forwarded_for="",
        user_agent="", status=403, error_code="PERMISSION_DENIED", request_id="",
    )  # fmt: skip
