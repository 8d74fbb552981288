"""Rows of batches and their files: one suite on memory, SQLite and PostgreSQL."""

from dataclasses import replace

from penstock.domain.batch import Batch, BatchState, Counts, Problem, Purpose, StoredFile
from penstock.ports.batch_rows import Page

FILE = StoredFile("file-1", "ann", Purpose.BATCH, "rows.jsonl", 2**40, 1_700_000_000_000, 2**41)
BATCH = Batch("batch-1", "ann", "/v1/embeddings", "file-1", BatchState.VALIDATING, 1_700_000_000_000, {"a": "ü"})


async def test_what_is_put_comes_back_and_is_replaced(store):
    ended = replace(
        BATCH.at(BatchState.FAILED, 1_700_000_000_005), counts=Counts(9, 7, 2), output_file="o", error_file="e",
        problems=(Problem("invalid", "Line 3: no", 3),), output_expiry_s=3600,
    )  # fmt: skip
    async with store.unit() as unit:
        await unit.batches.put_file(FILE)
        await unit.batches.put(BATCH)
    async with store.unit() as unit:
        assert await unit.batches.file("file-1") == FILE
        assert await unit.batches.get("batch-1") == BATCH
        assert (await unit.batches.file("x"), await unit.batches.get("x")) == (None, None)
        await unit.batches.put(ended)
        await unit.batches.put_file(replace(FILE, size=5))
    async with store.unit() as unit:
        assert await unit.batches.get("batch-1") == ended
        assert await unit.batches.file("file-1") == replace(FILE, size=5)
        assert await unit.batches.file_ids() == {"file-1"}
        await unit.batches.remove_file("file-1")
        await unit.batches.remove_file("file-1")
        assert await unit.batches.file("file-1") is None


async def test_pages_are_newest_first_and_follow_one_another(store):
    async with store.unit() as unit:
        for number in range(5):
            at = 100 + number // 2
            await unit.batches.put(replace(BATCH, id=f"b{number}", created_at=at))
            await unit.batches.put_file(replace(FILE, id=f"f{number}", created_at=at))
        await unit.batches.put(replace(BATCH, id="other", owner="eve"))
        await unit.batches.put_file(replace(FILE, id="out", purpose=Purpose.BATCH_OUTPUT))

        async def ids(**how):
            return [one.id for one in await unit.batches.page(Page("ann", **how))]

        assert await ids() == ["b4", "b3", "b2", "b1", "b0"]
        assert await ids(limit=2) == ["b4", "b3"]
        assert await ids(limit=2, after="b3") == ["b2", "b1"]
        assert await ids(limit=9, after="b3", oldest_first=True) == ["b4"]
        assert await ids(after="nothing") == []
        assert len(await unit.batches.page(Page())) == 6
        assert [one.id for one in await unit.batches.files(Page("ann"), Purpose.BATCH)] == [
            "f4",
            "f3",
            "f2",
            "f1",
            "f0",
        ]
        assert [one.id for one in await unit.batches.files(Page("ann", limit=1))] == ["out"]


async def test_open_ones_are_those_that_have_not_ended(store):
    async with store.unit() as unit:
        for number, state in enumerate(BatchState):
            await unit.batches.put(replace(BATCH, id=state.value, state=state, created_at=100 - number))
        found = [one.state for one in await unit.batches.open()]
    assert found == [
        BatchState.CANCELLING,
        BatchState.FINALIZING,
        BatchState.IN_PROGRESS,
        BatchState.VALIDATING,
    ]


async def test_files_that_have_expired_are_found_the_first_of_them_first(store):
    async with store.unit() as unit:
        assert await unit.batches.expired_files(5, limit=9) == []
        made = [replace(FILE, id=f"f{at}", expires_at=at) for at in (0, 3, 1, 2, 4)]
        for file in made:
            await unit.batches.put_file(file)
        assert [file.id for file in await unit.batches.expired_files(3, limit=9)] == ["f1", "f2", "f3"]
        assert [file.id for file in await unit.batches.expired_files(9, limit=2)] == ["f1", "f2"]


async def test_the_bytes_of_an_owner_are_added_up(store):
    async with store.unit() as unit:
        assert await unit.batches.size_of_files("ann") == 0
        for number, owner in enumerate(("ann", "eve", "ann")):
            await unit.batches.put_file(replace(FILE, id=f"f{number}", owner=owner, size=2**40 + number))
        assert await unit.batches.size_of_files("ann") == 2**41 + 2
