"""Rows of a file that was damaged. SQLite gives back whatever it finds in a column, of whatever type."""

from types import SimpleNamespace
from typing import Any

from sqlalchemy import Row, Table


class Kinds:
    """The types of a table's columns, and the column that gives an altered row away."""

    def __init__(self, table: Table, seal: str) -> None:
        self._names = tuple(column.name for column in table.columns)
        self._types = tuple(column.type.python_type for column in table.columns)
        self._seal = seal

    def readable(self, row: Row[Any]) -> Any:
        """The row; a value of another type is read as nothing, and the seal with it, so that a check names the row."""
        if tuple(map(type, row)) == self._types:
            return row
        told = zip(self._names, self._types, row, strict=True)
        values = {name: value if type(value) is kind else kind() for name, kind, value in told}
        return SimpleNamespace(**{**values, self._seal: ""})
