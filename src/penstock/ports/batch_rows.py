"""Batches and their files, as stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from penstock.domain.batch import Batch, Purpose, StoredFile


@dataclass(frozen=True, slots=True)
class Page:
    """Which of many: those of `owner` (None: of all) that follow the id `after` (empty: from the first), newest first.

    `oldest_first` turns the order round.
    """

    owner: str | None = None
    after: str = ""
    limit: int = 20
    oldest_first: bool = False


class BatchRows(Protocol):
    """Rows of batches and of their files. The contents lie in `penstock.ports.batch_files`."""

    async def put_file(self, file: StoredFile) -> None:
        """Adds a file, or puts it in place of the one with its id."""
        ...

    async def file(self, file_id: str) -> StoredFile | None:
        """One file."""
        ...

    async def files(self, page: Page, purpose: Purpose | None = None) -> Sequence[StoredFile]:
        """Files of a purpose, or of all."""
        ...

    async def file_ids(self) -> frozenset[str]:
        """The ids of all files."""
        ...

    async def expired_files(self, now_ms: int, *, limit: int) -> Sequence[StoredFile]:
        """Files that expire at `now_ms` or before, the first of them first."""
        ...

    async def size_of_files(self, owner: str) -> int:
        """The bytes of all files of an owner."""
        ...

    async def remove_file(self, file_id: str) -> None:
        """Removes a file. Safe to repeat."""
        ...

    async def put(self, batch: Batch) -> None:
        """Adds a batch, or puts it in place of the one with its id."""
        ...

    async def get(self, batch_id: str) -> Batch | None:
        """One batch."""
        ...

    async def page(self, page: Page) -> Sequence[Batch]:
        """Batches."""
        ...

    async def open(self) -> Sequence[Batch]:
        """All batches that have not ended, oldest first."""
        ...
