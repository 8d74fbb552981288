"""How rows of the ledger are chained: each holds the hash of the one before, and its own over that and its content."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import Field, asdict, replace
from typing import Any, ClassVar, Protocol, TypeVar

from penstock.domain.ledger_entry import digest

GENESIS = "0" * 64
"""What the first row is chained to."""

Link = tuple[int, str]
"""A row's number and hash."""
BEGINNING: Link = (0, GENESIS)


class Chained(Protocol):
    """A row of a chain. `number` counts from 1; `previous` is the hash of the row before it and `hash` this row's."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def number(self) -> int:
        """Its place."""
        ...

    @property
    def previous(self) -> str:
        """The hash before."""
        ...

    @property
    def hash(self) -> str:
        """Its own."""
        ...


_Row = TypeVar("_Row", bound=Chained)


def chain(rows: Iterable[_Row], last: Link) -> Sequence[_Row]:
    """The rows, chained to the one with the number and hash of `last`."""
    number, previous = last
    done: list[_Row] = []
    for row in rows:
        number += 1
        linked = replace(row, number=number, previous=previous)
        previous = hash_of(linked)
        done.append(replace(linked, hash=previous))
    return done


def hash_of(row: Chained) -> str:
    """SHA-256 of the hash of the row before and the canonical JSON of all else of this one, in hexadecimal."""
    return digest([row.previous, asdict(row) | {"hash": ""}])


def digest_of_all(digests: Iterable[str]) -> str:
    """One SHA-256 of several, in whatever order they come."""
    return hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()


class ChainCheck:
    """Takes the rows of a chain by number, after the one with the number and hash of `last`."""

    def __init__(self, last: Link, noted: Link | None = None) -> None:
        """`noted` is what a check before told of a row."""
        self.last = last
        self._noted = noted

    def take(self, row: Chained, name: str, kind: str) -> Iterator[str]:
        """Says what is wrong with a row; `kind` is what rows are called."""
        number, previous = self.last
        if row.number == number + 2:
            yield f"{kind} {number + 1} is missing"
        elif row.number > number + 1:
            yield f"{kind}s {number + 1} to {row.number - 1} are missing"
        elif row.previous != previous:
            yield f"{name}: it is not chained to the row before it"
        if hash_of(row) != row.hash:
            yield f"{name}: its content is not what was hashed"
        if self._noted and self._noted[0] == row.number and self._noted[1] != row.hash:
            yield f"{name}: its hash is not the one that was noted"
        self.last = (row.number, row.hash)
