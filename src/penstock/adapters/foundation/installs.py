"""Installations in a folder: ID.json for what is known of each, and ID/ for its files."""

import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from penstock.domain.market import Install, InstallState
from penstock.domain.model import Task


class InstallFolder:
    """See `penstock.ports.installs.InstallFiles`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def save(self, install: Install) -> None:
        """In one step."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self._root / f"{install.id}.json.new"
        fresh.write_text(json.dumps(asdict(install)))
        fresh.replace(self._root / f"{install.id}.json")

    def all(self) -> Sequence[Install]:
        """Those that can be read."""
        found: list[Install] = []
        for path in sorted(self._root.glob("*.json")):
            with suppress(OSError, ValueError, TypeError, KeyError):
                said = json.loads(path.read_text())
                found.append(Install(**{**said, "task": Task(said["task"]), "state": InstallState(said["state"])}))
        return found

    def folder(self, install_id: str) -> Path:
        """Its own."""
        folder = self._root / install_id
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def room(self) -> int:
        """Bytes that are free on the disk."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        return shutil.disk_usage(self._root).free

    def clear(self, install_id: str) -> None:
        """Removes the folder."""
        shutil.rmtree(self._root / install_id, ignore_errors=True)

    def forget(self, install_id: str) -> None:
        """Removes both."""
        (self._root / f"{install_id}.json").unlink(missing_ok=True)
        self.clear(install_id)
