"""The shelf: models that were brought to this machine, until the server has taken them into its catalogue.

Contract. A command puts models on it while the server may or may not run, and the server takes them off. A model's
files are there whole or not at all. Its mark stays while the model is wanted here, also when the server has its files.
Its methods block; two commands that bring the same model at once are told so.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Mark:
    """What was brought: `source` says where from and which commit, `size` is in bytes, `at` in epoch milliseconds.

    `revision` is what was asked for of the repository, and `commit` what that was then; both are empty for what came
    from a folder.
    """

    name: str
    source: str
    size: int
    at: int
    revision: str = ""
    commit: str = ""


class Place(Protocol):
    """Where one model's files arrive."""

    @property
    def files(self) -> Path:
        """The folder of config.json and the weights."""
        ...

    def begin(self, source: str) -> None:
        """What is there stays if it is of the same source, and is removed if not."""
        ...

    def room(self) -> int:
        """Bytes that may still be written."""
        ...

    def finish(self, card: Mapping[str, object], mark: Mark) -> None:
        """All is there: `card` is written beside it, and from now on the server may take it."""
        ...


class Shelf(Protocol):
    """All that was brought."""

    def place(self, name: str) -> AbstractContextManager[Place]:
        """Where the model's files arrive, for nobody else meanwhile; raises Conflict."""
        ...

    def marks(self) -> Mapping[str, Mark]:
        """By name, the models that are wanted here."""
        ...

    def arrived(self, name: str) -> Iterator[tuple[str, Path]]:
        """The files of a model that came whole and are not taken yet, by relative path; none if there is nothing."""
        ...

    def taken(self, name: str) -> None:
        """The server has the files: they go. Safe to repeat."""
        ...

    def remove(self, name: str) -> None:
        """The model is not wanted any more: its mark goes, and what came of it. Safe to repeat."""
        ...
