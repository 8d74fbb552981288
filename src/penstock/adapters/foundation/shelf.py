"""The shelf as a folder; see `penstock.ports.shelf`.

NAME.json          the mark
NAME.lock          held while the model is being brought
NAME.part/         files as they arrive, and `source`, which says what they are of
NAME/              all files, and MLmodel beside them, until the server takes them
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

import yaml

from penstock.domain.errors import Conflict
from penstock.ports.shelf import Mark

FILES = "model"
"""Beside MLmodel, as MLflow lays a model out."""


class FolderPlace:
    """Where one model's files arrive."""

    def __init__(self, root: Path, name: str) -> None:
        self._root = root
        self._name = name
        self._part = root / f"{name}.part"

    @property
    def files(self) -> Path:
        """The folder of config.json and the weights."""
        return self._part / FILES

    def begin(self, source: str) -> None:
        """Keeps what an earlier try left of the same source."""
        said = self._part / "source"
        if not said.is_file() or said.read_text() != source:
            shutil.rmtree(self._part, ignore_errors=True)
        self.files.mkdir(parents=True, exist_ok=True)
        said.write_text(source)

    def room(self) -> int:
        """Bytes that are free on the disk."""
        return shutil.disk_usage(self._root).free

    def finish(self, card: Mapping[str, object], mark: Mark) -> None:
        """Moves it all in one step, then marks it."""
        (self._part / "source").unlink()
        (self._part / "MLmodel").write_text(yaml.safe_dump(dict(card), sort_keys=False))
        target = self._root / self._name
        shutil.rmtree(target, ignore_errors=True)
        self._part.rename(target)
        fresh = self._root / f"{self._name}.json.new"
        fresh.write_text(json.dumps(asdict(mark)))
        fresh.replace(self._root / f"{self._name}.json")


class FolderShelf:
    """All that was brought; the folder is made when something is."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def place(self, name: str) -> Iterator[FolderPlace]:
        """Held by a lock that ends with the process."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self._root / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Conflict(f"Another command brings '{name}' already.") from error
            yield FolderPlace(self._root, name)
        finally:
            os.close(handle)

    def marks(self) -> Mapping[str, Mark]:
        """Those that can be read: a damaged mark is none."""
        found: dict[str, Mark] = {}
        for path in sorted(self._root.glob("*.json")):
            with suppress(OSError, ValueError, TypeError):
                found[path.stem] = Mark(**json.loads(path.read_text()))
        return found

    def arrived(self, name: str) -> Iterator[tuple[str, Path]]:
        """The files below the model's folder."""
        folder = self._root / name
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                yield path.relative_to(folder).as_posix(), path

    def taken(self, name: str) -> None:
        """Removes the files."""
        shutil.rmtree(self._root / name, ignore_errors=True)

    def remove(self, name: str) -> None:
        """Removes the mark first: without it nothing is taken."""
        with self.place(name):
            (self._root / f"{name}.json").unlink(missing_ok=True)
            for folder in (self._root / name, self._root / f"{name}.part"):
                shutil.rmtree(folder, ignore_errors=True)
