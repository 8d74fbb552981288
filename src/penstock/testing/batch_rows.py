"""Batches and their files in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from penstock.domain.batch import OPEN, Batch, Purpose, StoredFile
from penstock.ports.batch_rows import Page

_Kind = TypeVar("_Kind", Batch, StoredFile)


@dataclass
class FakeBatchRows:
    """See `penstock.ports.batch_rows.BatchRows`."""

    files_by_id: dict[str, StoredFile] = field(default_factory=dict)
    by_id: dict[str, Batch] = field(default_factory=dict)

    async def put_file(self, file: StoredFile) -> None:
        """Adds or replaces a file."""
        self.files_by_id[file.id] = file

    async def file(self, file_id: str) -> StoredFile | None:
        """One file."""
        return self.files_by_id.get(file_id)

    async def files(self, page: Page, purpose: Purpose | None = None) -> Sequence[StoredFile]:
        """Files of a purpose, or of all."""
        return _paged(self.files_by_id, page, [f for f in self.files_by_id.values() if purpose in (None, f.purpose)])

    async def file_ids(self) -> frozenset[str]:
        """The ids of all files."""
        return frozenset(self.files_by_id)

    async def expired_files(self, now_ms: int, *, limit: int) -> Sequence[StoredFile]:
        """Files that have expired."""
        found = [file for file in self.files_by_id.values() if 0 < file.expires_at <= now_ms]
        return sorted(found, key=lambda file: (file.expires_at, file.id))[:limit]

    async def size_of_files(self, owner: str) -> int:
        """The bytes of all files of an owner."""
        return sum(file.size for file in self.files_by_id.values() if file.owner == owner)

    async def remove_file(self, file_id: str) -> None:
        """Removes a file."""
        self.files_by_id.pop(file_id, None)

    async def put(self, batch: Batch) -> None:
        """Adds or replaces a batch."""
        self.by_id[batch.id] = batch

    async def get(self, batch_id: str) -> Batch | None:
        """One batch."""
        return self.by_id.get(batch_id)

    async def page(self, page: Page) -> Sequence[Batch]:
        """Batches."""
        return _paged(self.by_id, page, list(self.by_id.values()))

    async def open(self) -> Sequence[Batch]:
        """All that have not ended."""
        return sorted((one for one in self.by_id.values() if one.state in OPEN), key=_age)


def _age(one: Batch | StoredFile) -> tuple[int, str]:
    return one.created_at, one.id


def _paged(known: Mapping[str, _Kind], page: Page, found: list[_Kind]) -> list[_Kind]:
    mine = [one for one in found if page.owner in (None, one.owner)]
    if page.after:
        if page.after not in known:
            return []
        mark = _age(known[page.after])
        mine = [one for one in mine if (_age(one) > mark if page.oldest_first else _age(one) < mark)]
    return sorted(mine, key=_age, reverse=not page.oldest_first)[: page.limit]
