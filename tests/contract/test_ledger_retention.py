"""Retention on every store: what is old goes, what is left verifies, and the chains go on."""

from penstock.control.ledger import LedgerKeeper
from penstock.control.ledger_audit import verify
from penstock.control.ledger_minutes import LedgerMinutes
from penstock.control.ledger_retention import Keep, Retention
from penstock.domain.ledger_checkpoint import Part
from penstock.domain.usage import RequestOutcome, RequestRecord, Usage
from penstock.testing.clock import FakeClock
from penstock.testing.journal import FakeJournal

HOUR = 1_700_002_800_000
HOUR_MS = 3_600_000
HOUR_DAYS = 1 / 24


def request(at, lasted_ms=2000.0):
    return RequestRecord(
        f"r{at}-{lasted_ms}", "e1", "guide", "guide-1", "r1", "ann", "llm/v1/chat", True, at,
        RequestOutcome.COMPLETED, 200, Usage(80, 21, 0), 5.5, 100.25, lasted_ms,
        device_s=0.1, reference_tokens=1 / 3, asked_tokens=2.5, priority="shared", lane="guaranteed", within=True,
    )  # fmt: skip


class World:
    def __init__(self, store):
        self.store, self.clock, self.journal = store, FakeClock(HOUR), FakeJournal()

    async def hours(self, count):
        keeper = LedgerKeeper(self.journal, self.store, LedgerMinutes(self.store, self.clock, lambda: ()))
        for _ in range(count * 3):
            now = self.clock.now_ms()
            for minute in range(20):
                self.journal.ended(request(now + minute * 60_000))
                self.journal.ended(request(now + minute * 60_000, 150_000.0))
            await self.clock.advance(1200)
            await keeper.step()

    async def prune(self, *hours):
        return await Retention(self.store, self.clock, Keep(*(count * HOUR_DAYS for count in hours))).step()

    async def verdict(self):
        async with self.store.unit() as unit:
            return await verify(unit)


async def test_old_rows_go_and_the_rest_verifies(store):
    world = World(store)
    await world.hours(5)
    before = await world.verdict()
    assert before.findings == []
    said = await world.prune(1, 2, 3)
    assert "requests" in said
    assert "minutes" in said
    assert "hours" in said
    after = await world.verdict()
    assert after.findings == []
    assert after.head == before.head
    assert after.requests < before.requests
    assert after.minutes < before.minutes
    assert after.hours == before.hours - 2
    assert {part: mark.until for part, mark in after.checkpoints.items()} == {
        Part.REQUESTS: HOUR + 4 * HOUR_MS,
        Part.MINUTES: HOUR + 3 * HOUR_MS,
        Part.HOURS: HOUR + 2 * HOUR_MS,
    }
    assert await world.prune(1, 2, 3) == ""
    await world.hours(2)
    await world.prune(1, 2, 3)
    again = await world.verdict()
    assert again.findings == []
    assert again.checkpoints[Part.MINUTES].until == HOUR + 5 * HOUR_MS
