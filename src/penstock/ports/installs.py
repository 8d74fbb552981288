"""Where installations are kept: what is known of each, and the files that came of it, until they are registered."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from penstock.domain.market import Install


class InstallFiles(Protocol):
    """Its methods block. What was saved is there after a crash."""

    def save(self, install: Install) -> None:
        """Keeps what is known of it."""
        ...

    def all(self) -> Sequence[Install]:
        """All that are kept; a damaged one is none."""
        ...

    def folder(self, install_id: str) -> Path:
        """Where its files come to; made if it is not there."""
        ...

    def room(self) -> int:
        """Bytes that may still be written."""
        ...

    def clear(self, install_id: str) -> None:
        """Removes its files. Safe to repeat."""
        ...

    def forget(self, install_id: str) -> None:
        """Removes what is known of it, and its files. Safe to repeat."""
        ...
