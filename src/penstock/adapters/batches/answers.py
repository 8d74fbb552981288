"""The file of answers: while a batch runs a journal, in the order in which rows end; afterwards in the rows' order.

A line is whole or not there: one that `kill -9` cut off is dropped when the file is opened again, and its row is asked
again. What has been written survives the death of the program; every few seconds it is also brought to the disk.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from penstock.domain.errors import Conflict, InvalidParameter, PenstockError

_ROW, _SHA = "row", "row_digest"


class AnswerFile:
    """The answers by row number. A context; blocking."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._at: dict[int, tuple[int, int, str, bool]] = {}
        self._end = 0

    def __enter__(self) -> Self:
        """Opens or makes the file; raises Conflict if another program writes it, InvalidParameter if it is none."""
        try:
            file = self._path.open("ab+", buffering=0)
        except OSError as error:
            raise InvalidParameter(f"The file of answers {self._path} cannot be written: {error.strerror}.") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise Conflict(f"Another program is writing {self._path}.") from None
        self._file = file
        try:
            self._recover(file)
        except InvalidParameter:
            file.close()
            raise
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._opened.close()

    @property
    def _opened(self) -> BinaryIO:
        assert self._file is not None
        return self._file

    def _recover(self, file: BinaryIO) -> None:
        with self._path.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                self._note(line)
        file.truncate(self._end)

    def _note(self, line: bytes) -> None:
        try:
            entry = json.loads(line)
            number, digest = entry[_ROW], entry[_SHA]
            failed = not ok(entry)
        except (ValueError, KeyError, TypeError):
            raise InvalidParameter(
                f"{self._path} holds something else than answers of a batch: it is not written over."
            ) from None
        self._at[number] = (self._end, len(line), digest, failed)
        self._end += len(line)

    def add(self, number: int, digest: str, answer: Mapping[str, Any]) -> None:
        """A row's answer; it takes the place of an earlier one. Raises PenstockError if the disk does not take it."""
        # In ASCII: many programs take other characters, such as U+0085 and U+2028, for the end of a line.
        line = json.dumps({_ROW: number, _SHA: digest, **answer}, separators=(",", ":")).encode("ascii") + b"\n"
        try:
            left = memoryview(line)
            while left:
                left = left[self._opened.write(left) :]
        except OSError as error:
            # Half a line would spoil the next one.
            with contextlib.suppress(OSError):
                self._opened.truncate(self._end)
            raise PenstockError(f"The file of answers {self._path} cannot be written: {error.strerror}.") from error
        self._note(line)

    def has(self, number: int, digest: str) -> bool:
        """Whether the row with that content has an answer, be it an error."""
        found = self._at.get(number)
        return found is not None and found[2] == digest

    def failed(self, number: int) -> bool:
        """Whether the row's answer is an error."""
        return number in self._at and self._at[number][3]

    def read(self, number: int) -> dict[str, Any]:
        """A row's answer."""
        offset, length, _, _ = self._at[number]
        found: dict[str, Any] = json.loads(os.pread(self._opened.fileno(), length, offset))
        return found

    def sync(self) -> None:
        """Brings what is written to the disk."""
        os.fsync(self._opened.fileno())

    def order(self, numbers: list[int]) -> None:
        """Writes the answers of these rows in this order, in place of all; whole or not at all."""
        fresh = self._path.with_name(self._path.name + ".ordering")
        with fresh.open("wb") as file:
            for number in numbers:
                offset, length, _, _ = self._at[number]
                file.write(os.pread(self._opened.fileno(), length, offset))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)


def ok(answer: Mapping[str, Any]) -> bool:
    """Whether an answer is what was asked for, not an error."""
    response = answer["response"]
    return answer["error"] is None and response is not None and response["status_code"] < 400  # noqa: PLR2004 - HTTP
