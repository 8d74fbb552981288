"""Use cases of the command that brings foundation models to this machine: from the hub, its cache, or a folder.

They block: a command has nothing else to do. The server takes what came into its catalogue
(`penstock.control.foundation_models`), at once or when it is started.
"""

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from penstock.domain.checkpoint_files import wanted
from penstock.domain.errors import DoesNotExist, InvalidParameter, QuotaExceeded, Temporary
from penstock.domain.foundation import Foundation, FoundationModel
from penstock.domain.mlmodel import mlmodel
from penstock.ports.clock import Clock
from penstock.ports.hub import Hub, HubFile, Snapshot
from penstock.ports.shelf import Mark, Place, Shelf

SHORT = 7
"""Digits of a commit that are enough for people."""
STATE = 12
"""Digits that tell one state of a folder from another."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is told how it goes: the bytes in all once they are known, then the bytes that came, and each file."""

    begin: Callable[[str, int], None]
    came: Callable[[int], None]
    file: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where files come from: `revision` is what was asked for, `commit` what it is; both are empty for a folder."""

    source: str
    revision: str = ""
    commit: str = ""


@dataclass(frozen=True, slots=True)
class _Folder:
    """A checkpoint in a folder: its files that are wanted, with their sizes."""

    path: Path
    sizes: Mapping[str, int]

    def state(self) -> str:
        """Tells it from what it was before its files were written anew."""
        told = [f"{name}\0{size}\0{(self.path / name).stat().st_mtime_ns}" for name, size in sorted(self.sizes.items())]
        return hashlib.sha256("\0".join(told).encode()).hexdigest()[:STATE]


class Pulls:
    """What comes to this machine and goes. `hub` is made only when it is asked."""

    def __init__(self, foundation: Foundation, shelf: Shelf, hub: Callable[[], Hub], clock: Clock) -> None:
        self._foundation = foundation
        self._shelf = shelf
        self._hub = hub
        self._clock = clock

    def pull(self, name: str, watch: Watch, *, revision: str = "", folder: Path | None = None) -> Mark:
        """Brings a model, going on where an earlier try ended; returns what is here then.

        From `folder`, if given: a checkpoint as transformers saves it. Raises what `penstock.ports.hub` says,
        DoesNotExist for a model that is not in the catalogue, InvalidParameter if it is not one that can be served,
        QuotaExceeded if the disk has no room for it, Conflict if another command is bringing it.
        """
        model = self._foundation.of(name)
        with self._shelf.place(model.name) as place:
            if folder is not None:
                origin, size = self._bring(model, place, folder, watch)
            else:
                origin, size = self._download(model, place, revision or model.revision, watch)
            held = self._shelf.marks().get(model.name)
            if held is not None and held.source == origin.source and not size:
                return held
            mark = Mark(model.name, origin.source, size, self._clock.now_ms(), origin.revision, origin.commit)
            place.finish(mlmodel(model.task, model.repository, origin.source, model.licence), mark)
        return mark

    def remove(self, name: str) -> FoundationModel:
        """Takes a model away; raises DoesNotExist if it was not brought."""
        model = self._foundation.of(name)
        if model.name not in self._shelf.marks():
            raise DoesNotExist(f"{model.display_name} is not on this machine.")
        self._shelf.remove(model.name)
        return model

    def _download(self, model: FoundationModel, place: Place, revision: str, watch: Watch) -> tuple[_Origin, int]:
        hub = self._hub()
        from_hub = f"{hub.address}/{model.repository}@"
        try:
            snapshot = hub.snapshot(model.repository, revision)
        except Temporary:
            cached = hub.cached(model.repository, revision)
            if cached is None:
                raise
            origin = _Origin(from_hub + cached.name, revision, cached.name)
            return origin, self._copy(model, place, _folder(cached), origin, watch)
        origin = _Origin(from_hub + snapshot.commit, revision, snapshot.commit)
        held = self._shelf.marks().get(model.name)
        if held is not None and held.source == origin.source:
            return origin, 0
        files = _chosen(snapshot)
        size = sum(file.size for file in files)
        place.begin(origin.source)
        self._check_room(place, sum(file.size for file in files if not (place.files / file.path).exists()))
        watch.begin(model.display_name, size)
        for file in files:
            watch.file(file.path)
            target = place.files / file.path
            if target.exists():
                watch.came(file.size)
            else:
                hub.fetch(snapshot, file, target, watch.came)
        return origin, size

    def _bring(self, model: FoundationModel, place: Place, folder: Path, watch: Watch) -> tuple[_Origin, int]:
        """Copies a folder unless it is as it was when it was copied before."""
        if not folder.is_dir():
            raise InvalidParameter(f"--from {folder} is not a folder.")
        found = _folder(folder)
        origin = _Origin(f"folder:{folder.absolute()}@{found.state()}")
        held = self._shelf.marks().get(model.name)
        if held is not None and held.source == origin.source:
            return origin, 0
        return origin, self._copy(model, place, found, origin, watch)

    def _copy(self, model: FoundationModel, place: Place, folder: _Folder, origin: _Origin, watch: Watch) -> int:
        """Copies its files; their size."""
        sizes = folder.sizes
        place.begin(origin.source)
        self._check_room(place, sum(sizes.values()))
        watch.begin(model.display_name, sum(sizes.values()))
        for path, size in sizes.items():
            watch.file(path)
            target = place.files / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder.path / path, target)
            watch.came(size)
        return sum(sizes.values())

    def _check_room(self, place: Place, needed: int) -> None:
        room = place.room()
        if needed > room:
            raise QuotaExceeded(
                f"{needed / 1e9:.1f} GB are to come, and the disk of the data folder has {room / 1e9:.1f} GB left."
            )


def moved(before: Mark | None, now: Mark) -> str:
    """What is to be said of a branch that has moved since the model was brought before; empty if it has not."""
    if before is None or before.revision != now.revision or not before.commit or before.commit == now.commit:
        return ""
    was, is_now = before.commit[:SHORT], now.commit[:SHORT]
    return f"'{now.revision}' has moved: it was {was}, which was here, and is {is_now} now."


def _folder(path: Path) -> _Folder:
    """Nothing is looked for deeper in it than a checkpoint's files are."""
    files = [file for pattern in ("*", "1_Pooling/*") for file in sorted(path.glob(pattern)) if file.is_file()]
    found = wanted((file.relative_to(path).as_posix() for file in files), str(path))
    return _Folder(path, {name: (path / name).stat().st_size for name in found})


def _chosen(snapshot: Snapshot) -> list[HubFile]:
    files = {file.path: file for file in snapshot.files}
    return [files[path] for path in wanted(files, snapshot.repository)]
