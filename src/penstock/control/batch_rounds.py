"""One batch from its validation to its end. Everything can be repeated from where a death of the process left it.

validating    the file is looked through; a file that is wrong fails the batch with a list of what is wrong
in_progress   rows are asked, a bounded window at a time; each answer is appended to the batch's journal
finalizing    the journal is divided into a file of answers and one of errors, in the rows' order
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from penstock.control.batches import BatchLimits
from penstock.domain.access import Caller, Principal, Scope
from penstock.domain.batch import Batch, BatchState, Counts, Problem, Purpose, StoredFile
from penstock.domain.batch_patience import Next, after
from penstock.domain.batch_row import TASKS, Place, Row, answered, unanswered
from penstock.domain.errors import InvalidParameter, PathNotFound
from penstock.ports.batch_files import BatchFiles, Journal, Written
from penstock.ports.clock import Clock
from penstock.ports.inference import Inference, Told
from penstock.ports.store import Store

NOTE_S = 2.0
MOST_PROBLEMS = 100


@dataclass(frozen=True, slots=True)
class BatchRound:
    """Works on one batch. `chance` gives uniform numbers in [0, 1)."""

    store: Store
    files: BatchFiles
    inference: Inference
    clock: Clock
    limits: BatchLimits
    chance: Callable[[], float]

    async def run(self, batch_id: str) -> str:
        """Brings the batch to its end and says how it ended. Raises Temporary; may be cancelled, and run again."""
        async with self.store.unit() as unit:
            batch = await unit.batches.get(batch_id)
            owner = await unit.access.principal(batch.owner) if batch else None
        if batch is None:
            return ""
        try:
            places = await self.files.look(batch.input_file)
        except (InvalidParameter, PathNotFound) as error:
            return await self._fail(batch, [Problem("invalid_file", error.message)])
        problems = self._problems(batch, places, owner)
        if problems:
            return await self._fail(batch, problems)
        async with self.files.journal(batch.id) as journal:
            progress = _Progress(places, journal)
            if batch.state is BatchState.FINALIZING:
                progress.counts = batch.counts
            if owner is not None:
                caller = Caller(owner, Scope.SERVING, f"batch {batch.id}")
                batch = await self._ask(batch, caller, progress)
            written = await self._finalize(batch, progress)
        await self._end(batch.id, written, progress.counts)
        await self.files.forget(batch.id)
        return f"batch {batch.id} has ended with {progress.counts.completed} rows of {progress.counts.total}"

    def _problems(self, batch: Batch, places: Sequence[Place], owner: Principal | None) -> list[Problem]:
        if batch.state is not BatchState.VALIDATING:
            return []
        if owner is None or not owner.active:
            return [Problem("no_owner", "Whoever asked for this batch is no longer there.")]
        if len(places) > self.limits.rows:
            message = f"The file has {len(places)} rows; a batch has at most {self.limits.rows}."
            return [Problem("too_many_rows", message)]
        return list(_wrong(places, batch.url))[:MOST_PROBLEMS]

    async def _fail(self, batch: Batch, problems: Sequence[Problem]) -> str:
        failed = replace(batch.at(BatchState.FAILED, self.clock.now_ms()), problems=tuple(problems))
        async with self.store.unit() as unit:
            await unit.batches.put(failed)
        return f"batch {batch.id} failed: {problems[0].message}"

    async def _ask(self, batch: Batch, caller: Caller, progress: "_Progress") -> Batch:
        """Asks the rows that have no answer, until there are none, the batch is cancelled or its time is over."""
        batch = await self._note(batch.id, progress, begin=True)
        if batch.state is not BatchState.IN_PROGRESS:
            return batch
        waiting = iter(progress.left())

        async def one_after_another() -> None:
            for place in waiting:
                await self._one(batch, caller, place, progress)

        workers = [asyncio.create_task(one_after_another()) for _ in range(self.limits.window)]
        done = asyncio.gather(*workers)
        try:
            while not done.done() and batch.state is BatchState.IN_PROGRESS and not self._expired(batch):
                rest = asyncio.ensure_future(self.clock.sleep(NOTE_S))
                await asyncio.wait((done, rest), return_when=asyncio.FIRST_COMPLETED)
                rest.cancel()
                batch = await self._note(batch.id, progress)
            if done.done():
                await done
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, done, return_exceptions=True)
        return batch

    def _expired(self, batch: Batch) -> bool:
        return self.clock.now_ms() >= batch.expires_at

    async def _note(self, batch_id: str, progress: "_Progress", *, begin: bool = False) -> Batch:
        """Stores how far the batch is; returns it as it is now, with what others changed."""
        async with self.store.unit() as unit:
            batch = await unit.batches.get(batch_id)
            assert batch is not None
            if begin and batch.state is BatchState.VALIDATING:
                batch = batch.at(BatchState.IN_PROGRESS, self.clock.now_ms())
            batch = replace(batch, counts=progress.counts)
            await unit.batches.put(batch)
        return batch

    async def _one(self, batch: Batch, caller: Caller, place: Place, progress: "_Progress") -> None:
        row = await self.files.row(batch.input_file, place)
        name = f"batch_req_{batch.id.removeprefix('batch_')}_{row.number}"
        endpoint = row.body.get("model")
        if not isinstance(endpoint, str) or not endpoint:
            message = f"Line {row.number}: body.model is required: the name of a serving endpoint."
            progress.add(place, unanswered(name, row.custom_id, "BAD_REQUEST", message))
            return
        told = await self._told(caller, endpoint, row)
        progress.add(place, answered(name, row.custom_id, told.status, told.request_id, _json(told.body)))

    async def _told(self, caller: Caller, endpoint: str, row: Row) -> Told:
        """The row's answer, be it an error; asks again while the endpoint is busy."""
        tries, task = 0, TASKS[row.url]
        while True:
            tries += 1
            told = await self.inference.ask(caller, endpoint, task, row.content)
            step = after(told.status, told.retry_after_s, tries, self.chance())
            if step.what is not Next.AGAIN:
                return told
            await self.clock.sleep(step.delay_s)

    async def _finalize(self, batch: Batch, progress: "_Progress") -> Written:
        """Gives rows without an answer their error, and divides the journal."""
        expired = self._expired(batch) and batch.state is not BatchState.CANCELLING
        code, message = (
            ("batch_expired", "This row was not answered before the completion window expired.")
            if expired
            else ("batch_cancelled", "This row was not answered before the batch was cancelled.")
        )
        # The counts first: from here on the journal has answers to rows that count as not done.
        async with self.store.unit() as unit:
            newest = await unit.batches.get(batch.id)
            if newest is not None and newest.state is BatchState.IN_PROGRESS:
                finalizing = newest.at(BatchState.FINALIZING, self.clock.now_ms())
                await unit.batches.put(replace(finalizing, counts=progress.counts))
        for place in progress.left():
            name = f"batch_req_{batch.id.removeprefix('batch_')}_{place.number}"
            progress.add(place, unanswered(name, place.custom_id, code, message), counts=False)
        answers_id, errors_id = file_ids(batch.id)
        return await self.files.divide(progress.journal, [p.number for p in progress.places], answers_id, errors_id)

    async def _end(self, batch_id: str, written: Written, counts: Counts) -> None:
        """The last state, with the two files, in one unit."""
        answers_id, errors_id = file_ids(batch_id)
        now = self.clock.now_ms()
        async with self.store.unit() as unit:
            batch = await unit.batches.get(batch_id)
            assert batch is not None
            for file_id, size, what in ((answers_id, written.answers, "output"), (errors_id, written.errors, "error")):
                if size:
                    name = f"{batch.id}_{what}.jsonl"
                    ends = self.limits.expires_at(now, batch.output_expiry_s)
                    file = StoredFile(file_id, batch.owner, Purpose.BATCH_OUTPUT, name, size, now, ends)
                    await unit.batches.put_file(file)
            state = BatchState.COMPLETED
            if batch.state is BatchState.CANCELLING:
                state = BatchState.CANCELLED
            elif counts.completed + counts.failed < counts.total:
                state = BatchState.EXPIRED
            ended = replace(
                batch.at(state, now),
                counts=counts,
                output_file=answers_id if written.answers else "",
                error_file=errors_id if written.errors else "",
            )
            await unit.batches.put(ended)


class _Progress:
    """The rows of a batch and their journal."""

    def __init__(self, places: Sequence[Place], journal: Journal) -> None:
        self.places = places
        self.journal = journal
        done = [place for place in places if journal.has(place.number, place.digest)]
        failed = sum(journal.failed(place.number) for place in done)
        self.counts = Counts(len(places), len(done) - failed, failed)

    def left(self) -> list[Place]:
        """Rows without an answer."""
        return [place for place in self.places if not self.journal.has(place.number, place.digest)]

    def add(self, place: Place, answer: dict[str, Any], *, counts: bool = True) -> None:
        """A row's answer."""
        self.journal.add(place.number, place.digest, answer)
        if counts:
            failed = int(self.journal.failed(place.number))
            now = self.counts
            self.counts = Counts(now.total, now.completed + 1 - failed, now.failed + failed)


def file_ids(batch_id: str) -> tuple[str, str]:
    """The files of a batch's answers and errors: always the same, so that finalizing can be repeated."""
    name = batch_id.removeprefix("batch_")
    return f"file-{name}-output", f"file-{name}-error"


def _wrong(places: Iterable[Place], url: str) -> Iterable[Problem]:
    seen: set[str] = set()
    for place in places:
        if place.problem:
            yield Problem("invalid_line", place.problem, place.number)
        elif place.url != url:
            message = f"Line {place.number}: url must be {url}, as the batch's endpoint says, but is {place.url}."
            yield Problem("mismatched_url", message, place.number)
        elif place.custom_id in seen:
            message = f"Line {place.number}: custom_id '{place.custom_id[:80]}' is there twice."
            yield Problem("duplicate_custom_id", message, place.number)
        seen.add(place.custom_id)


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content.decode("utf-8", "replace")
