"""The file of rows: looked through once, then read row by row, so that its size does not matter."""

from dataclasses import dataclass
from pathlib import Path

from penstock.domain.batch_estimate import Size, size_of
from penstock.domain.batch_row import Row, digest, parse
from penstock.domain.errors import InvalidParameter, InvalidRequest


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row is in the file, in bytes; `problem` is why it cannot be sent, empty if it can."""

    number: int
    offset: int
    length: int
    digest: str
    size: Size
    problem: str = ""


class RowFile:
    """A file of rows, one a line; empty lines are none. Blocking."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def look(self) -> list[Place]:
        """Every row with its size; raises InvalidParameter if the file cannot be read or has no rows."""
        places, offset = [], 0
        try:
            with self._path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    if line.strip():
                        places.append(_place(number, offset, line))
                    offset += len(line)
        except OSError as error:
            raise InvalidParameter(f"The file of rows {self._path} cannot be read: {error.strerror}.") from error
        if not places:
            raise InvalidParameter(f"The file of rows {self._path} has no rows.")
        return places

    def read(self, place: Place) -> Row:
        """One row; raises InvalidParameter if the file is no longer what it was."""
        with self._path.open("rb") as file:
            file.seek(place.offset)
            line = file.read(place.length)
        if digest(line) != place.digest:
            raise InvalidParameter(f"The file of rows {self._path} was changed while it was worked on.")
        return parse(place.number, line, bare=True)


def _place(number: int, offset: int, line: bytes) -> Place:
    try:
        row, problem = parse(number, line, bare=True), ""
    except InvalidRequest as error:
        return Place(number, offset, len(line), digest(line), Size(0, 0), error.message)
    return Place(number, offset, len(line), digest(line), size_of(row.body), problem)
