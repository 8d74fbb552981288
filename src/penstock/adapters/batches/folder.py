"""The files of batches in a folder; the contract is `penstock.ports.batch_files`.

files/ID           contents, whole
journals/ID        answers as they come
incoming/          what is being written
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO

from penstock.adapters.batches.answers import AnswerFile
from penstock.adapters.batches.rows import RowFile
from penstock.domain.batch_row import Place, Row
from penstock.domain.errors import PathNotFound, PenstockError, TooLarge
from penstock.ports.batch_files import Journal, Written

CHUNK = 1024 * 1024


class BatchFolder:
    """See `penstock.ports.batch_files.BatchFiles`."""

    def __init__(self, root: Path) -> None:
        """The folder is made if it is not there."""
        self._files, self._journals, self._incoming = root / "files", root / "journals", root / "incoming"
        for folder in (self._files, self._journals, self._incoming):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def store(self, file_id: str, content: AsyncIterator[bytes], limit: int) -> int:
        """Stores a file."""
        size = 0
        with self._writing(file_id) as file:
            async for chunk in content:
                size += len(chunk)
                if size > limit:
                    raise TooLarge(f"The file is larger than the limit of {limit} bytes.")
                await asyncio.to_thread(file.write, chunk)
            await asyncio.to_thread(_to_disk, file)
            (self._incoming / file_id).replace(self._files / file_id)
        return size

    @contextmanager
    def _writing(self, file_id: str) -> Iterator[BinaryIO]:
        """A new file in `incoming`, which is gone afterwards."""
        path = self._incoming / file_id
        try:
            with path.open("wb") as file:
                yield file
        except OSError as error:
            raise PenstockError(f"The file cannot be stored: {error.strerror}.") from error
        finally:
            path.unlink(missing_ok=True)

    async def read(self, file_id: str) -> AsyncIterator[bytes]:
        """The file's bytes."""
        try:
            file = await asyncio.to_thread((self._files / file_id).open, "rb")
        except FileNotFoundError:
            raise PathNotFound(f"The content of file '{file_id}' is not there.") from None
        with file:
            while chunk := await asyncio.to_thread(file.read, CHUNK):
                yield chunk

    async def remove(self, file_id: str) -> None:
        """Removes a file."""
        (self._files / file_id).unlink(missing_ok=True)

    async def look(self, file_id: str) -> Sequence[Place]:
        """The rows of a file."""
        return await asyncio.to_thread(RowFile(self._files / file_id, bare=False).look)

    async def row(self, file_id: str, place: Place) -> Row:
        """One row."""
        return await asyncio.to_thread(RowFile(self._files / file_id, bare=False).read, place)

    @asynccontextmanager
    async def journal(self, batch_id: str) -> AsyncIterator[AnswerFile]:
        """A batch's answers."""
        answers = AnswerFile(self._journals / batch_id)
        await asyncio.to_thread(answers.__enter__)
        try:
            yield answers
            await asyncio.to_thread(answers.sync)
        finally:
            answers.__exit__(None, None, None)

    async def divide(self, journal: Journal, numbers: Sequence[int], answers_id: str, errors_id: str) -> Written:
        """Makes the files of answers and of errors."""
        assert isinstance(journal, AnswerFile)
        good = [number for number in numbers if not journal.failed(number)]
        bad = [number for number in numbers if journal.failed(number)]
        answers = await asyncio.to_thread(self._extract, journal, good, answers_id)
        return Written(answers, await asyncio.to_thread(self._extract, journal, bad, errors_id))

    def _extract(self, journal: AnswerFile, numbers: Sequence[int], file_id: str) -> int:
        """A file of these answers, without what only the journal needs; none of no answers."""
        if not numbers:
            return 0
        with self._writing(file_id) as file:
            for number in numbers:
                answer = journal.read(number)
                told = {name: answer[name] for name in ("id", "custom_id", "response", "error")}
                file.write(json.dumps(told, separators=(",", ":")).encode("ascii") + b"\n")
            _to_disk(file)
            size = file.tell()
            (self._incoming / file_id).replace(self._files / file_id)
        return size

    async def forget(self, batch_id: str) -> None:
        """Removes a journal."""
        (self._journals / batch_id).unlink(missing_ok=True)

    async def sweep(self, files: frozenset[str], batches: frozenset[str]) -> int:
        """Removes what belongs to none of these."""
        return await asyncio.to_thread(self._sweep, files, batches)

    def _sweep(self, files: frozenset[str], batches: frozenset[str]) -> int:
        left = [path for path in self._files.iterdir() if path.name not in files]
        left += [path for path in self._journals.iterdir() if path.name not in batches]
        left += list(self._incoming.iterdir())
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)


def _to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
