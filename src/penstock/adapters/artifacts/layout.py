"""Where things lie under the folder of artifacts, and the few disk operations that all of them share.

    blobs/ab/<sha256>          one file per content, read-only; the files of versions are hard links to it
    incoming/<random>          being written
    parts/<session>/<n>-<sha>  parts of multipart uploads
    open/<storage>/files/      a version's files while they arrive; open/<storage>/sums/ says which blob each one is
    sealed/<storage>/files/    the same directory, moved here when it became immutable
    trash/<random>             being removed

Every step that makes something visible is one rename or link of what is already on disk.
"""

import os
import re
import secrets
from pathlib import Path

from penstock.domain.errors import InvalidParameter

_TOKEN = re.compile(r"[A-Za-z0-9_-]{8,128}")


class Layout:
    """The folder's own directories; makes them. Private to the server's user."""

    def __init__(self, root: Path) -> None:
        self.blobs = root / "blobs"
        self.incoming = root / "incoming"
        self.parts = root / "parts"
        self.open = root / "open"
        self.sealed = root / "sealed"
        self.trash = root / "trash"
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for directory in (self.blobs, self.incoming, self.parts, self.open, self.sealed, self.trash):
            directory.mkdir(mode=0o700, exist_ok=True)
        sync_directory(root)

    def temporary(self) -> Path:
        """A new path in `incoming`."""
        return self.incoming / secrets.token_hex(16)

    def discard(self, directory: Path) -> None:
        """Moves a directory into the trash in one step, if it is there; `sweep` empties the trash."""
        try:
            directory.rename(self.trash / secrets.token_hex(16))
        except FileNotFoundError:
            return
        sync_directory(directory.parent)


def check_token(value: str, field: str) -> str:
    """Returns a storage's or session's name; raises InvalidParameter if it could be anything but a plain file name."""
    if not _TOKEN.fullmatch(value):
        raise InvalidParameter(f"{field} is not one that this server gave out.")
    return value


def sync_directory(path: Path) -> None:
    """Puts the directory's entries on disk."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
