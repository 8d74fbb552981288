"""A hub: a server of model repositories.

Contract. Its methods block, for as long as a download takes, and are called from threads or commands. What they raise:

    DoesNotExist        no such repository, revision or file, or it is kept from who asks
    PermissionDenied    its licence was not accepted, or the token is not good for it; says what to do
    Temporary           the hub cannot be reached, is overloaded, or nothing may be asked of it now
    PenstockError       what came is not what the hub announced
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

Tell = Callable[[int], None]
"""Called with the number of bytes that have come since the last call."""


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository: `size` in bytes, and one of the sums of its content, or none if the hub does not tell.

    Large files are told with their SHA-256. `blob` is the SHA-1 by which git calls the others.
    """

    path: str
    size: int
    sha256: str = ""
    blob: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A repository at one `commit`."""

    repository: str
    commit: str
    files: tuple[HubFile, ...]


class Hub(Protocol):
    """Where models come from."""

    @property
    def address(self) -> str:
        """For people."""
        ...

    def snapshot(self, repository: str, revision: str) -> Snapshot:
        """What the repository holds at a branch, tag or commit."""
        ...

    def fetch(self, snapshot: Snapshot, file: HubFile, target: Path, tell: Tell) -> None:
        """Brings one file to `target`, whole and as announced or not at all.

        What came in an earlier try that was cut off, at any moment, is not asked for again.
        """
        ...

    def cached(self, repository: str, revision: str) -> Path | None:
        """The folder of that snapshot in this machine's own cache of the hub, None if it is not all there."""
        ...
