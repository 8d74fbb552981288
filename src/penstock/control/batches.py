"""Use cases of batches and their files: what their owner, or an administrator, may do. `batch_worker` does the rows."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

from penstock.domain.access import Caller
from penstock.domain.batch import ENDED, Batch, BatchState, Purpose, StoredFile, check_filename, check_new
from penstock.domain.errors import Conflict, DoesNotExist, InvalidParameter, QuotaExceeded, TooLarge
from penstock.ports.batch_files import BatchFiles
from penstock.ports.batch_rows import Page
from penstock.ports.clock import Clock
from penstock.ports.store import Store

EXPIRED_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Bytes and rows of a file; rows of one batch that are on their way at a time, and batches that run at a time.

    `file_expiry_s` is for how long files are kept that are not asked to be kept otherwise, 0 is for ever; `owner_bytes`
    how much one principal may keep.
    """

    file_bytes: int = 200 * 1024 * 1024
    rows: int = 50_000
    window: int = 16
    running: int = 4
    file_expiry_s: float = 30 * 24 * 3600
    owner_bytes: int = 10 * 1024**3

    def expires_at(self, now_ms: int, asked_s: int = 0) -> int:
        """When a file that is made now expires, epoch milliseconds; 0 is never."""
        kept_s = asked_s or self.file_expiry_s
        return now_ms + round(kept_s * 1000) if kept_s else 0


class Batches:
    """Batches and their files. What belongs to somebody else is not there."""

    def __init__(
        self,
        store: Store,
        files: BatchFiles,
        clock: Clock,
        *,
        limits: BatchLimits,
        new_id: Callable[[], str],
        hint: Callable[[], None],
    ) -> None:
        """`hint` wakes the worker."""
        self._store = store
        self._files = files
        self._clock = clock
        self._limits = limits
        self._new_id = new_id
        self._hint = hint

    async def receive(self, caller: Caller, content: AsyncIterator[bytes]) -> tuple[str, int]:
        """Stores what is sent; returns its id and bytes. It is nobody's until it is `named`.

        Raises TooLarge, and QuotaExceeded as soon as more is sent than the caller may keep.
        """
        async with self._store.unit() as unit:
            kept = await unit.batches.size_of_files(caller.principal.id)
        left = self._limits.owner_bytes - kept
        if left <= 0:
            raise self._too_much(kept)
        file_id = f"file-{self._new_id()}"
        try:
            return file_id, await self._files.store(file_id, content, min(self._limits.file_bytes, left))
        except TooLarge:
            if left < self._limits.file_bytes:
                raise self._too_much(kept) from None
            raise

    def _too_much(self, kept: int) -> QuotaExceeded:
        return QuotaExceeded(
            f"Files of batches would take more than the {self._limits.owner_bytes} bytes that one may keep; yours take "
            f"{kept}. Delete some, or let them expire sooner with expires_after."
        )

    async def discard(self, file_id: str) -> None:
        """Forgets what was received and is not named."""
        await self._files.remove(file_id)

    async def named(
        self, caller: Caller, file_id: str, size: int, *, filename: str, purpose: str, expiry_s: int = 0
    ) -> StoredFile:
        """Makes what was received a file, kept for `expiry_s` seconds, or as is usual.

        Raises InvalidParameter if its purpose or name is against a rule, QuotaExceeded.
        """
        if purpose != Purpose.BATCH:
            raise InvalidParameter(f"purpose must be 'batch', but is '{purpose[:80]}'.")
        if not size:
            raise InvalidParameter("file must not be empty.")
        name = check_filename(filename)
        now, owner = self._clock.now_ms(), caller.principal.id
        file = StoredFile(file_id, owner, Purpose.BATCH, name, size, now, self._limits.expires_at(now, expiry_s))
        async with self._store.unit() as unit:
            kept = await unit.batches.size_of_files(owner)
            if kept + size > self._limits.owner_bytes:
                raise self._too_much(kept)
            await unit.batches.put_file(file)
        return file

    async def file(self, caller: Caller, file_id: str) -> StoredFile:
        """One file; raises DoesNotExist."""
        async with self._store.unit() as unit:
            found = await unit.batches.file(file_id)
        if found is None or not _sees(caller, found.owner):
            raise DoesNotExist(f"File '{file_id[:80]}' does not exist.")
        return found

    async def files(self, caller: Caller, page: Page, purpose: Purpose | None) -> Sequence[StoredFile]:
        """The caller's files."""
        async with self._store.unit() as unit:
            return await unit.batches.files(_mine(caller, page), purpose)

    async def content(self, caller: Caller, file_id: str) -> AsyncIterator[bytes]:
        """The bytes of a file; raises DoesNotExist."""
        return self._files.read((await self.file(caller, file_id)).id)

    async def remove_file(self, caller: Caller, file_id: str) -> None:
        """Deletes a file; raises Conflict while a batch works on it."""
        file = await self.file(caller, file_id)
        async with self._store.unit() as unit:
            if any(batch.input_file == file.id for batch in await unit.batches.open()):
                raise Conflict(f"A batch works on file '{file.id}'. Cancel it first.")
            await unit.batches.remove_file(file.id)
        await self._files.remove(file.id)

    async def expire(self) -> str:
        """Removes files that have expired, but for those that a batch works on; says how many."""
        removed = 0
        while True:
            async with self._store.unit() as unit:
                busy = {batch.input_file for batch in await unit.batches.open()}
                found = await unit.batches.expired_files(self._clock.now_ms(), limit=EXPIRED_AT_ONCE + len(busy))
                gone = [file.id for file in found if file.id not in busy]
                for file_id in gone:
                    await unit.batches.remove_file(file_id)
            for file_id in gone:
                await self._files.remove(file_id)
            removed += len(gone)
            if not gone:
                return f"removed {removed} expired files" if removed else ""

    async def create(
        self,
        caller: Caller,
        file_id: str,
        url: str,
        window: str,
        metadata: Mapping[str, str],
        *,
        output_expiry_s: int = 0,
    ) -> Batch:
        """A new batch over a file of rows; raises InvalidParameter, DoesNotExist."""
        check_new(url, window, metadata)
        file = await self.file(caller, file_id)
        if file.purpose is not Purpose.BATCH:
            raise InvalidParameter("input_file_id must be a file of the purpose 'batch'.")
        now = self._clock.now_ms()
        state = BatchState.VALIDATING
        batch = Batch(
            f"batch_{self._new_id()}",
            caller.principal.id,
            url,
            file.id,
            state,
            now,
            dict(metadata),
            output_expiry_s=output_expiry_s,
        )
        async with self._store.unit() as unit:
            if await unit.batches.file(file.id) is None:
                raise DoesNotExist(f"File '{file.id}' does not exist.")
            await unit.batches.put(batch)
        self._hint()
        return batch

    async def get(self, caller: Caller, batch_id: str) -> Batch:
        """One batch; raises DoesNotExist."""
        async with self._store.unit() as unit:
            return _visible(caller, await unit.batches.get(batch_id), batch_id)

    async def list(self, caller: Caller, page: Page) -> Sequence[Batch]:
        """The caller's batches."""
        async with self._store.unit() as unit:
            return await unit.batches.page(_mine(caller, page))

    async def cancel(self, caller: Caller, batch_id: str) -> Batch:
        """Begins to cancel a batch; what is done is kept. Safe to repeat; raises Conflict if it has ended otherwise."""
        async with self._store.unit() as unit:
            batch = _visible(caller, await unit.batches.get(batch_id), batch_id)
            if batch.state in {BatchState.CANCELLING, BatchState.CANCELLED}:
                return batch
            if batch.state in ENDED or batch.state is BatchState.FINALIZING:
                raise Conflict(f"Batch '{batch.id}' is {batch.state} and cannot be cancelled.")
            batch = batch.at(BatchState.CANCELLING, self._clock.now_ms())
            await unit.batches.put(batch)
        self._hint()
        return batch


def _visible(caller: Caller, batch: Batch | None, batch_id: str) -> Batch:
    if batch is None or not _sees(caller, batch.owner):
        raise DoesNotExist(f"Batch '{batch_id[:80]}' does not exist.")
    return batch


def _sees(caller: Caller, owner: str) -> bool:
    return caller.principal.is_admin or caller.principal.id == owner


def _mine(caller: Caller, page: Page) -> Page:
    return Page(caller.principal.id, page.after, page.limit, page.oldest_first)
