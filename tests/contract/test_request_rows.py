"""Rows of the request ledger: one suite on memory, SQLite and PostgreSQL."""

from dataclasses import replace

from penstock.domain.usage import RequestOutcome, RequestRecord, Usage

FIRST = RequestRecord(
    "a", "e1", "guide", "guide-1", "r1", "ann@example.org", "llm/v1/chat", True, 1_700_000_000_000,
    RequestOutcome.CANCELLED, 499, Usage(2**33, 7, 3, 1.25, True), 0.25, 12.5, 99.125, "the client hung up", "mine-1",
    0.75, 3456.5, 4321.25, "reserved", "guaranteed", True, 1_700_000_040_000, 1_699_999_980_000, "d" * 64,
    "lent: at once", "4b" * 16,
)  # fmt: skip


async def test_a_record_comes_back_as_it_was_added(store):
    async with store.unit() as unit:
        assert await unit.requests.add([FIRST]) == 1
    async with store.unit() as unit:
        assert await unit.requests.get("a") == FIRST
        assert await unit.requests.get("b") is None


async def test_adding_again_changes_nothing_and_counts_only_what_is_new(store):
    second = replace(FIRST, request_id="b")
    async with store.unit() as unit:
        await unit.requests.add([FIRST])
    async with store.unit() as unit:
        assert await unit.requests.add([replace(FIRST, status=200), second, replace(second, status=200)]) == 1
        assert await unit.requests.add([]) == 0
        assert await unit.requests.get("a") == FIRST
        assert await unit.requests.get("b") == second


async def test_a_full_batch_fits_in_one_call(store):
    records = [replace(FIRST, request_id=str(number)) for number in range(1000)]
    async with store.unit() as unit:
        assert await unit.requests.add(records) == 1000


async def test_what_the_ledger_counts_comes_by_minute_and_id(store):
    before = replace(FIRST, request_id="before", minute=0)
    placed = [
        replace(FIRST, request_id=name, minute=minute, duration_ms=float(minute))
        for name, minute in (("c", 1), ("a", 2), ("b", 2))
    ]
    async with store.unit() as unit:
        assert (await unit.requests.count(), await unit.requests.longest_ms(1e9)) == (0, 0.0)
        await unit.requests.add([before, *placed[::-1]])
        assert await unit.requests.in_ledger((0, "")) == placed
        assert await unit.requests.in_ledger((1, "c"), limit=1) == placed[1:2]
        assert await unit.requests.in_ledger((2, "a")) == placed[2:]
        assert (await unit.requests.count(), await unit.requests.longest_ms(1e9)) == (3, FIRST.duration_ms)
        assert await unit.requests.longest_ms(50.0) == 2.0


async def test_old_records_are_removed_the_first_of_them_first(store):
    placed = [
        replace(FIRST, request_id=name, minute=minute, received_at=minute)
        for name, minute in (("a", 60_000), ("b", 60_000), ("c", 120_000), ("d", 180_000))
    ]
    before = replace(FIRST, request_id="before", minute=0, received_at=100_000)
    since = replace(FIRST, request_id="since", minute=0, received_at=150_000)
    async with store.unit() as unit:
        await unit.requests.add([*placed, before, since])
        assert await unit.requests.remove(120_000, limit=2) == 2
        assert await unit.requests.in_ledger((0, "")) == placed[1:]
        assert await unit.requests.remove(120_000, limit=2) == 1
        assert await unit.requests.remove(120_000, limit=2) == 0
        assert await unit.requests.in_ledger((0, "")) == placed[2:]
        assert await unit.requests.get("before") is None
        assert await unit.requests.get("since") == since
