"""The contents of the files of batches.

Contract. A file is there whole or not at all, also after the process died at any moment, and does not change. Ids are
ours, letters, digits, `-` and `_`. No method blocks the event loop, but for `Journal.add`, which appends one line.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from penstock.domain.batch_row import Place, Row


@dataclass(frozen=True, slots=True)
class Written:
    """The sizes of the two files that a journal was divided into, in bytes; 0 is a file that was not made."""

    answers: int
    errors: int


class Journal(Protocol):
    """The answers to a batch's rows by number, as they come; what was added is there after a death of the process."""

    def add(self, number: int, digest: str, answer: Mapping[str, Any]) -> None:
        """A row's answer. Raises PenstockError if it cannot be kept."""
        ...

    def has(self, number: int, digest: str) -> bool:
        """Whether the row with that content has an answer, be it an error."""
        ...

    def failed(self, number: int) -> bool:
        """Whether the row's answer is an error."""
        ...


class BatchFiles(Protocol):
    """Where the files are. Raises PathNotFound for those that are not there."""

    async def store(self, file_id: str, content: AsyncIterator[bytes], limit: int) -> int:
        """Stores a file and returns its bytes; raises TooLarge beyond `limit`, and what `content` raises."""
        ...

    def read(self, file_id: str) -> AsyncIterator[bytes]:
        """The file's bytes."""
        ...

    async def remove(self, file_id: str) -> None:
        """Removes a file. Safe to repeat."""
        ...

    async def look(self, file_id: str) -> Sequence[Place]:
        """The rows of a file, empty lines left out; one that is wrong has its problem."""
        ...

    async def row(self, file_id: str, place: Place) -> Row:
        """One row that has no problem."""
        ...

    def journal(self, batch_id: str) -> AbstractAsyncContextManager[Journal]:
        """A batch's answers, found again after a death of the process."""
        ...

    async def divide(self, journal: Journal, numbers: Sequence[int], answers_id: str, errors_id: str) -> Written:
        """Makes a file of the answers to these rows in this order, and one of their errors. Safe to repeat."""
        ...

    async def forget(self, batch_id: str) -> None:
        """Removes a journal that is closed. Safe to repeat."""
        ...

    async def sweep(self, files: frozenset[str], batches: frozenset[str]) -> int:
        """Removes contents and journals that belong to none of these, and what was never finished; how many."""
        ...
