"""Multipart uploads, as stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class UploadState(StrEnum):
    """How a multipart upload stands."""

    OPEN = "open"
    COMPLETED = "completed"
    ABORTED = "aborted"


@dataclass(frozen=True, slots=True)
class Upload:
    """One multipart upload of the file `path` in `storage`; `session` is its unguessable token. Times in epoch ms."""

    session: str
    storage: str
    path: str
    state: UploadState
    created_at: int
    updated_at: int


class UploadRows(Protocol):
    """Rows of multipart uploads. Their parts lie in the artifact store."""

    async def add(self, upload: Upload) -> None:
        """Adds an upload."""
        ...

    async def get(self, session: str) -> Upload | None:
        """One upload."""
        ...

    async def end(self, session: str, state: UploadState, now_ms: int) -> bool:
        """Ends an open upload; False if it was not open."""
        ...

    async def touch(self, session: str, now_ms: int) -> None:
        """Notes that something was uploaded just now."""
        ...

    async def stale(self, updated_before: int, *, limit: int = 100) -> Sequence[Upload]:
        """Uploads of any state that nothing happened to since that time, oldest first."""
        ...

    async def remove(self, sessions: Sequence[str]) -> None:
        """Removes uploads."""
        ...

    async def sessions(self) -> frozenset[str]:
        """The sessions of all uploads, whatever their state."""
        ...
