"""The file of rows: looked through once, then read row by row, so that its size does not matter."""

from pathlib import Path

from penstock.domain.batch_estimate import Size, size_of
from penstock.domain.batch_row import Place, Row, digest, parse
from penstock.domain.errors import InvalidParameter, InvalidRequest


class RowFile:
    """A file of rows, one a line; empty lines are none. A line may be a `bare` body. Blocking."""

    def __init__(self, path: Path, *, bare: bool = True) -> None:
        self._path = path
        self._bare = bare

    def look(self) -> list[Place]:
        """Every row with its size; raises InvalidParameter if the file cannot be read or has no rows."""
        places, offset = [], 0
        try:
            with self._path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    if line.strip():
                        places.append(_place(number, offset, line, bare=self._bare))
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
        return parse(place.number, line, bare=self._bare)


def _place(number: int, offset: int, line: bytes, *, bare: bool) -> Place:
    try:
        row = parse(number, line, bare=bare)
    except InvalidRequest as error:
        return Place(number, offset, len(line), digest(line), Size(0, 0), problem=error.message)
    return Place(number, offset, len(line), digest(line), size_of(row.body), row.custom_id, row.url)
