"""How long the ledger's rows are kept: what is older is taken away in small batches, behind a sealed checkpoint.

The checkpoint is written first. From then on rows before it count as gone, so that it does not matter when the process
dies. The newest row of each chain stays, so that the chain goes on.
"""

from dataclasses import dataclass

from penstock.domain.ledger_chain import Link
from penstock.domain.ledger_checkpoint import Checkpoint, Part
from penstock.domain.ledger_hour import HOUR_MS, hour_of
from penstock.ports.clock import Clock
from penstock.ports.store import Store, Unit

BATCH = 500
PAUSE_S = 0.2
"""Between two batches, for others who want the database."""
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Keep:
    """Days for which rows are kept; 0 is for ever."""

    requests: float
    minutes: float
    hours: float

    def since(self, part: Part, now_ms: int) -> int:
        """Rows of a part before this are old: the beginning of an hour, epoch milliseconds."""
        days = {Part.REQUESTS: self.requests, Part.MINUTES: self.minutes, Part.HOURS: self.hours}[part]
        return hour_of(now_ms - round(days * DAY_MS)) if days else 0


class Retention:
    """Takes away what is old; `penstock.control.loop` runs it."""

    def __init__(self, store: Store, clock: Clock, keep: Keep) -> None:
        self._store = store
        self._clock = clock
        self._keep = keep

    async def step(self) -> str:
        """Moves the checkpoints, and removes all rows before them. Safe to be killed anywhere; raises Temporary."""
        removed = {part: await self._prune(part) for part in Part}
        told = ", ".join(f"{count} {part}" for part, count in removed.items() if count)
        return f"removed old rows of the ledger: {told}" if told else ""

    async def _prune(self, part: Part) -> int:
        async with self._store.unit() as unit:
            checkpoint = await self._moved(unit, part)
        removed = 0
        while checkpoint is not None:
            async with self._store.unit() as unit:
                if part is Part.REQUESTS:
                    count = await unit.requests.remove(checkpoint.until, limit=BATCH)
                else:
                    count = await unit.ledger.remove(part, checkpoint.number, limit=BATCH)
            removed += count
            if count < BATCH:
                break
            await self._clock.sleep(PAUSE_S)
        return removed

    async def _moved(self, unit: Unit, part: Part) -> Checkpoint | None:
        """The part's checkpoint, moved on as far as rows are old; None if there has never been one."""
        now = self._clock.now_ms()
        known = await unit.ledger.checkpoints()
        until = min(self._keep.since(part, now), await _limit(unit, part))
        if part not in known or until > known[part].until:
            link = await _link(unit, part, until)
            if link is not None:
                checkpoint = Checkpoint(part, until, *link, now).sealed()
                await unit.ledger.set_checkpoint(checkpoint)
                return checkpoint
        return known.get(part)


async def _limit(unit: Unit, part: Part) -> int:
    """Before this, rows may be taken: requests of closed minutes, minutes of summed hours, never the newest row."""
    last, hour = await unit.ledger.last(), await unit.ledger.last_hour()
    minute = last.key.minute if last else 0
    if part is Part.REQUESTS:
        return minute
    if part is Part.MINUTES:
        return min(minute, hour.key.hour + HOUR_MS if hour else 0)
    return hour.key.hour if hour else 0


async def _link(unit: Unit, part: Part, until: int) -> Link | None:
    """The last row before `until`."""
    if part is Part.HOURS:
        hour = await unit.ledger.last_hour_before(until)
        return (hour.number, hour.hash) if hour else None
    row = await unit.ledger.last_before(until)
    return (row.number, row.hash) if row else None
