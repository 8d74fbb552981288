"""The files of one version: a directory of hard links, open until it is moved among the sealed ones."""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from penstock.adapters.artifacts.blobs import Blobs, hash_file
from penstock.adapters.artifacts.layout import Layout, check_token, sync_directory
from penstock.domain.errors import AlreadyExists, Conflict, PathNotFound
from penstock.ports.artifacts import Entry


class Tree:
    """A storage. Its methods block; they may be called from several threads at once."""

    def __init__(self, layout: Layout, blobs: Blobs, storage: str) -> None:
        check_token(storage, "storage")
        self._layout = layout
        self._blobs = blobs
        self._storage = storage
        self._open = layout.open / storage
        self._sealed = layout.sealed / storage

    def create(self) -> None:
        """Makes it, unless it is there. It appears whole: the directories are moved into place together."""
        if self._open.exists() or self._sealed.exists():
            return
        fresh = self._layout.temporary()
        for directory in (fresh, fresh / "files", fresh / "sums"):
            directory.mkdir(mode=0o700)
        with suppress(OSError):  # somebody else was first
            fresh.rename(self._open)
        sync_directory(self._open.parent)

    @property
    def files(self) -> Path:
        """The directory of files where it lies now; raises PathNotFound if the storage is not there."""
        for root in (self._open, self._sealed):
            if root.is_dir():
                return root / "files"
        raise PathNotFound(f"Storage '{self._storage}' is not there.")

    @property
    def sealed(self) -> bool:
        """Whether it is immutable."""
        return self._sealed.is_dir()

    def touched_at(self) -> int:
        """When it was last written to, epoch milliseconds."""
        with suppress(PathNotFound, FileNotFoundError):
            return self.files.parent.stat().st_mtime_ns // 1_000_000
        return 0

    def place(self, link: Path, sha256: str, path: str, *, overwrite: bool) -> Entry:
        """Makes `link` the file at `path`, in one step; raises Conflict or AlreadyExists."""
        target = self._open / "files" / path
        try:
            made = self._make_parents(path)
            if target.is_dir():
                raise Conflict(f"Cannot write the file '{path}': a directory is there.")
            self._note_sum(path, sha256)
            if overwrite:
                # Renaming a link onto another link of the same file does nothing and leaves both.
                link.replace(target)
                link.unlink(missing_ok=True)
            else:
                os.link(link, target)
            for directory in made:
                sync_directory(directory)
            os.utime(self._open)
            return _entry(target, path)
        except FileExistsError as error:
            raise AlreadyExists(f"The file '{path}' exists already and overwrite is false.") from error
        except FileNotFoundError as error:
            raise self._gone() from error

    def _make_parents(self, path: str) -> list[Path]:
        """Makes the directories that lead to `path`; returns all whose entries must be put on disk."""
        directory = self._open / "files"
        touched = [directory]
        for segment in path.split("/")[:-1]:
            directory /= segment
            with suppress(FileExistsError):
                directory.mkdir(mode=0o700)
            if not stat.S_ISDIR(directory.lstat().st_mode):
                raise Conflict(f"Cannot write '{path}': '{segment}' is a file, not a directory.")
            touched.append(directory)
        return touched

    def _note_sum(self, path: str, sha256: str) -> None:
        # Before the file itself: a sum that fits no file only costs reading the file again when sealing.
        fresh = self._layout.temporary()
        fresh.write_text(sha256)
        fresh.replace(self._sum_of(self._open, path))

    def _sum_of(self, root: Path, path: str) -> Path:
        return root / "sums" / hashlib.sha256(path.encode()).hexdigest()

    def _gone(self) -> Conflict | PathNotFound:
        if self.sealed:
            return Conflict("The files of a finalized model version cannot be changed. Register a new version.")
        return PathNotFound(f"Storage '{self._storage}' is not there.")

    def make_directory(self, path: str) -> None:
        """Makes a directory with its parents."""
        try:
            for directory in self._make_parents(f"{path}/-"):
                sync_directory(directory)
        except FileNotFoundError as error:
            raise self._gone() from error

    def delete(self, path: str) -> None:
        """Deletes a file or an empty directory."""
        if not self._open.is_dir():
            raise self._gone()
        target = self._resolve(path)
        if path == "":
            raise Conflict("The root of a model version cannot be deleted; delete the version.")
        try:
            if target.is_dir():
                target.rmdir()
            else:
                target.unlink()
                self._sum_of(self._open, path).unlink(missing_ok=True)
            sync_directory(target.parent)
        except FileNotFoundError as error:
            raise PathNotFound(f"No file or directory at '{path}'.") from error
        except OSError as error:
            raise Conflict(f"The directory '{path}' is not empty.") from error

    def _resolve(self, path: str) -> Path:
        """The place of a path, through directories only: links of any kind lead nowhere."""
        place = self.files
        for segment in path.split("/") if path else []:
            place /= segment
            try:
                mode = place.lstat().st_mode
            except (FileNotFoundError, NotADirectoryError) as error:
                raise PathNotFound(f"No file or directory at '{path}'.") from error
            if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
                raise PathNotFound(f"No file or directory at '{path}'.")
        return place

    def stat(self, path: str) -> Entry:
        """What is at the path."""
        return _entry(self._resolve(path), path)

    def list(self, path: str, after: str, limit: int) -> list[Entry]:
        """A page of a directory."""
        place = self._resolve(path)
        if not place.is_dir():
            raise PathNotFound(f"No directory at '{path}': it is a file.")
        names = sorted(below.name for below in place.iterdir() if below.name > after)
        entries = []
        for name in names:
            with suppress(PathNotFound):
                entries.append(self.stat(f"{path}/{name}" if path else name))
            if len(entries) == limit:
                break
        return entries

    def open_file(self, path: str) -> int:
        """A handle to read the file with."""
        place = self._resolve(path)
        if place.is_dir():
            raise PathNotFound(f"No file at '{path}': it is a directory.")
        try:
            return os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise PathNotFound(f"No file at '{path}'.") from error

    def seal(self) -> str:
        """Moves it among the sealed ones and returns its digest."""
        if not self.sealed:
            try:
                self._open.rename(self._sealed)
            except FileNotFoundError as error:
                if not self.sealed:
                    raise PathNotFound(f"Storage '{self._storage}' is not there.") from error
            sync_directory(self._layout.sealed)
            sync_directory(self._layout.open)
        kept = self._sealed / "digest"
        if not kept.is_file():
            fresh = self._layout.temporary()
            fresh.write_text(self._digest())
            fresh.replace(kept)
        return kept.read_text()

    def _digest(self) -> str:
        sha = hashlib.sha256()
        for path, place in self._walk():
            sha.update(f"{self._sum(path, place)}  {path}\n".encode())
        return sha.hexdigest()

    def _sum(self, path: str, place: Path) -> str:
        """The file's hash: as noted if the file is still that blob, else computed again."""
        with suppress(FileNotFoundError):
            noted = self._sum_of(self._sealed, path).read_text()
            if self._blobs.path(noted).stat().st_ino == place.stat().st_ino:
                return noted
        return hash_file(place)

    def _walk(self) -> Iterator[tuple[str, Path]]:
        root = self._sealed / "files"
        for directory, below, names in os.walk(root):
            below.sort()
            for name in sorted(names):
                place = Path(directory) / name
                yield place.relative_to(root).as_posix(), place

    def remove(self) -> None:
        """Moves it into the trash."""
        self._layout.discard(self._open)
        self._layout.discard(self._sealed)


def _entry(place: Path, path: str) -> Entry:
    try:
        status = place.lstat()
    except FileNotFoundError as error:
        raise PathNotFound(f"No file or directory at '{path}'.") from error
    directory = stat.S_ISDIR(status.st_mode)
    return Entry(path, directory, 0 if directory else status.st_size, status.st_mtime_ns // 1_000_000)
