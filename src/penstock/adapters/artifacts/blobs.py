"""Contents by their SHA-256: written once, linked from wherever a version holds them."""

import errno
import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from penstock.adapters.artifacts.layout import Layout, sync_directory

COPY_BYTES = 4 << 20
_ATTEMPTS = 16


class Staged:
    """A file being written in `incoming`, hashed on the way. Its methods block; one at a time, from any thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._sha = hashlib.sha256()
        self._lock = Lock()
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._closed = False

    @property
    def sha256(self) -> str:
        """The hash of what was written so far."""
        return self._sha.hexdigest()

    def write(self, block: bytes | memoryview) -> None:
        """Appends; does nothing after `discard`, so that a late write of a cancelled upload is harmless."""
        with self._lock:
            if self._closed:
                return
            self._sha.update(block)
            rest = memoryview(block)
            while rest:
                rest = rest[os.write(self._handle, rest) :]
            self.size += len(block)

    def append(self, source: Path) -> None:
        """Appends a whole file, a few megabytes at a time."""
        buffer = bytearray(COPY_BYTES)
        with source.open("rb", buffering=0) as file:
            while count := file.readinto(buffer):
                self.write(memoryview(buffer)[:count])

    def finish(self) -> None:
        """Puts the contents on disk, read-only from now on."""
        with self._lock:
            os.fchmod(self._handle, 0o400)
            os.fsync(self._handle)
            self._close()

    def discard(self) -> None:
        """Closes and removes the file. Safe to repeat."""
        with self._lock:
            self._close()
        self.path.unlink(missing_ok=True)

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            os.close(self._handle)


@dataclass(frozen=True, slots=True)
class Adopted:
    """A file that was there already, linked into `incoming`."""

    path: Path
    size: int
    sha256: str

    def discard(self) -> None:
        """Removes the link. Safe to repeat."""
        self.path.unlink(missing_ok=True)


class Blobs:
    """The contents. Its methods block."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def stage(self) -> Staged:
        """A new file to write."""
        return Staged(self._layout.temporary())

    def path(self, sha256: str) -> Path:
        """Where that content lies, if it is there."""
        return self._layout.blobs / sha256[:2] / sha256

    def adopt(self, source: Path) -> Staged | Adopted:
        """A file of this machine, read-only from now on; copied where it cannot be linked."""
        path = self._layout.temporary()
        try:
            os.link(source, path)
        except OSError as error:
            if error.errno not in {errno.EXDEV, errno.EMLINK, errno.EPERM}:
                raise
            staged = self.stage()
            staged.append(source)
            staged.finish()
            return staged
        path.chmod(0o400)
        with path.open("rb") as file:
            os.fsync(file.fileno())
        return Adopted(path, path.stat().st_size, hash_file(path))

    def link(self, staged: Staged | Adopted) -> Path:
        """Keeps a finished file's content and returns a new link to it in `incoming`."""
        blob = self.path(staged.sha256)
        self._shelf(blob.parent)
        link = self._layout.temporary()
        for _ in range(_ATTEMPTS):
            with suppress(FileExistsError):
                os.link(staged.path, blob)
                sync_directory(blob.parent)
            if self._try_link(blob, link, staged.size):
                return link
        raise OSError(errno.EAGAIN, "could not keep a content", str(blob))

    def _shelf(self, directory: Path) -> None:
        with suppress(FileExistsError):
            directory.mkdir(mode=0o700)
            sync_directory(directory.parent)

    def _try_link(self, blob: Path, link: Path, size: int) -> bool:
        """Links the blob; False if it must be made (anew) first, because the sweeper or damage took it."""
        try:
            if blob.stat().st_size == size:
                os.link(blob, link)
                return True
        except FileNotFoundError:
            return False
        except OSError as error:
            # A file system bounds the links to one file: the next ones go to a second copy.
            if error.errno != errno.EMLINK:
                raise
        blob.unlink(missing_ok=True)
        return False

    def sweep(self) -> int:
        """Removes contents that nothing links to; returns the bytes freed.

        Safe next to `link`: a file that is linked just before its blob goes keeps its content, and one that finds the
        blob gone makes it again.
        """
        freed = 0
        for shelf in _entries(self._layout.blobs):
            for blob in _entries(shelf):
                with suppress(FileNotFoundError):
                    status = blob.stat(follow_symlinks=False)
                    if status.st_nlink == 1:
                        blob.unlink()
                        freed += status.st_size
        return freed


def _entries(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def hash_file(path: Path) -> str:
    """The SHA-256 of a file, read a few megabytes at a time."""
    sha = hashlib.sha256()
    buffer = bytearray(COPY_BYTES)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            sha.update(memoryview(buffer)[:count])
    return sha.hexdigest()
