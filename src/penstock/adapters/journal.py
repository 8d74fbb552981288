"""The request ledger's write-ahead file: segments of lines in a folder, appended to the page cache.

A line is `A` (admitted) or `E` (ended), a space, a record in JSON and a line feed. A kill can cut off the last line
only. A segment is deleted when all its ended records are stored; what is still open moves on to the next segment, so
that the newest ones always tell all that is not stored.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from penstock.domain.errors import PenstockError, Temporary
from penstock.domain.usage import RequestRecord

SEGMENT_BYTES = 4 * 1024 * 1024
BATCH = 500
MOST_UNWRITTEN = 16 * 1024 * 1024
"""Bytes that are kept in memory while the disk takes nothing; then no more is admitted, and refusals go unrecorded."""
RETRY_S = 5
_SUFFIX = ".journal"
_ADMITTED = b"A "
_ENDED = b"E "

_log = logging.getLogger(__name__)
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(RequestRecord)


@dataclass(slots=True)
class _Position:
    """Where reading goes on: an offset into a segment."""

    segment: int
    offset: int


class FileJournal:
    """See `penstock.ports.journal.Journal`. Belongs to one event loop; `recover` comes before all else."""

    def __init__(
        self,
        folder: Path,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        batch: int = BATCH,
        most_unwritten: int = MOST_UNWRITTEN,
    ) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._batch = batch
        self._most_unwritten = most_unwritten
        self._refused = 0
        self._complained = False
        self._open: dict[str, bytes] = {}
        self._unwritten = bytearray()
        self._file = -1
        self._segment = 0
        self._size = 0
        self._next = _Position(0, 0)
        self._taken: list[_Position] = []
        self._behind = 0

    @property
    def behind(self) -> int:
        """Since `recover`, which counts what it finds."""
        return self._behind

    @property
    def unwritten_bytes(self) -> int:
        """What `ended` and `admitted` have kept."""
        return len(self._unwritten)

    def recover(self) -> Sequence[RequestRecord]:
        """Reads all segments once; raises PenstockError if the folder cannot be written."""
        try:
            return self._recover()
        except OSError as error:
            raise PenstockError(f"The request ledger {self._folder} cannot be written: {error.strerror}.") from error

    def _recover(self) -> Sequence[RequestRecord]:
        self._folder.mkdir(parents=True, exist_ok=True)
        segments = self._segments()
        unfinished: dict[str, RequestRecord] = {}
        for segment in segments:
            for kind, line, _ in _lines(self._path(segment), 0):
                record = _decoded(line)
                if record is None:
                    continue
                if kind == _ENDED:
                    self._behind += 1
                    unfinished.pop(record.request_id, None)
                else:
                    unfinished[record.request_id] = record
        left = list(unfinished.values())
        self._next = _Position(segments[0] if segments else 1, 0)
        self._begin(segments[-1] + 1 if segments else 1)
        for record in left:
            self._append(_ENDED, _encoder.encode(record))
        return left

    def admitted(self, record: RequestRecord) -> None:
        """Raises Temporary when the disk has taken nothing for long."""
        if self._is_full():
            raise Temporary("The request ledger cannot be written: the disk takes nothing.", RETRY_S)
        line = _encoder.encode(record)
        self._open[record.request_id] = line
        self._append(_ADMITTED, line)

    def ended(self, record: RequestRecord) -> None:
        """Never raises: what the disk does not take now is kept for the next time."""
        if self._open.pop(record.request_id, None) is None and self._is_full():
            # It was refused: nobody was promised anything, and memory has an end.
            self._refused += 1
            return
        self._append(_ENDED, _encoder.encode(record))
        if self._size >= self._segment_bytes and not self._unwritten:
            try:
                self._begin(self._segment + 1)
            except OSError as error:
                self._complain(error)

    def take(self) -> Sequence[RequestRecord]:
        """The next ended records, at most a batch."""
        self._write()
        self._taken.clear()
        found: list[RequestRecord] = []
        for segment in range(self._next.segment, self._segment + 1):
            start = self._next.offset if segment == self._next.segment else 0
            for kind, line, end in _lines(self._path(segment), start):
                record = _decoded(line) if kind == _ENDED else None
                if record is not None:
                    found.append(record)
                    self._taken.append(_Position(segment, end))
                    if len(found) == self._batch:
                        return found
            if not found and segment < self._segment:
                self._forget(segment)
        return found

    def stored(self, count: int) -> None:
        """Moves on, and deletes the segments that are behind."""
        if not count:
            return
        reached = self._taken[count - 1]
        self._behind -= count
        del self._taken[:count]
        for segment in range(self._next.segment, reached.segment):
            self._forget(segment)
        self._next = reached

    def close(self) -> None:
        """Closes the file; deletes it when all is stored, else the next `recover` finds the rest. Safe to repeat."""
        if self._file >= 0:
            all_stored = not self.take() and not self._open and not self._unwritten
            if self._unwritten:
                _log.error("%d bytes of the request ledger are lost: the disk took nothing", len(self._unwritten))
            os.close(self._file)
            self._file = -1
            if all_stored:
                self._forget(self._segment)

    def _is_full(self) -> bool:
        if len(self._unwritten) > self._most_unwritten:
            self._write()
        return len(self._unwritten) > self._most_unwritten

    def _append(self, kind: bytes, line: bytes) -> None:
        self._behind += kind == _ENDED
        whole = kind + line + b"\n"
        if not self._unwritten:
            try:
                written = os.write(self._file, whole)
            except OSError as error:
                self._complain(error)
                written = 0
            self._size += written
            self._unwritten += whole[written:]
        else:
            self._unwritten += whole
            self._write()

    def _write(self) -> None:
        """Writes what the disk did not take before."""
        if not self._unwritten:
            return
        while self._unwritten:
            try:
                written = os.write(self._file, self._unwritten)
            except OSError as error:
                self._complain(error)
                return
            self._size += written
            del self._unwritten[:written]
        if self._complained:
            _log.warning("the request ledger is written again; %d refusals are not in it", self._refused)
            self._complained, self._refused = False, 0

    def _complain(self, error: OSError) -> None:
        # Once: a line for each request would make things worse, where logs are on the same disk.
        if not self._complained:
            _log.error("the request ledger cannot be written: %s; requests are kept in memory", error)
            self._complained = True

    def _begin(self, segment: int) -> None:
        """Starts a segment, with what is open; raises OSError, and goes on with the old one, if there can be none."""
        file = os.open(self._path(segment), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        if self._file >= 0:
            os.close(self._file)
        self._file = file
        self._segment = segment
        self._size = 0
        for line in list(self._open.values()):
            self._append(_ADMITTED, line)

    def _forget(self, segment: int) -> None:
        self._path(segment).unlink(missing_ok=True)
        self._next = _Position(segment + 1, 0)

    def _path(self, segment: int) -> Path:
        return self._folder / f"{segment:012d}{_SUFFIX}"

    def _segments(self) -> list[int]:
        return sorted(int(path.stem) for path in self._folder.glob(f"*{_SUFFIX}") if path.stem.isdecimal())


def _lines(path: Path, start: int) -> Iterator[tuple[bytes, bytes, int]]:
    """Whole lines from an offset: kind, record, and where the line ends."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        end = file.seek(start)
        for line in file:
            if not line.endswith(b"\n"):
                return
            end += len(line)
            yield line[:2], line[2:-1], end


def _decoded(line: bytes) -> RequestRecord | None:
    try:
        return _decoder.decode(line)
    except msgspec.DecodeError:
        _log.warning("a line of the request ledger cannot be read and is passed over: %.80r", line)
        return None
