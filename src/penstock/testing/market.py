"""A hub in memory, whose downloads wait until they are let through."""

import threading
from collections.abc import Sequence
from pathlib import Path

from penstock.domain.errors import DoesNotExist, PermissionDenied
from penstock.domain.market import Listing, Query
from penstock.ports.hub import HubFile, Snapshot, Tell

ADDRESS = "http://hub.test"


class FakeMarket:
    """See `penstock.ports.market.Market`. `repositories` are files by path; `gated` ones need an accepted licence.

    A file in `held` comes by half, and the rest when its event is set; `reached` says that it is waited for.
    """

    def __init__(self, address: str = ADDRESS) -> None:
        self.address = address
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.listings: dict[str, Listing] = {}
        self.gated: set[str] = set()
        self.held: dict[str, threading.Event] = {}
        self.reached = threading.Event()
        self.fetched: list[str] = []

    def add(self, repository: str, files: dict[str, bytes], **more: object) -> None:
        """Puts a repository up."""
        self.repositories[repository] = files
        self.listings[repository] = Listing(self.address, repository, **more)  # type: ignore[arg-type]

    def search(self, query: Query) -> Sequence[Listing]:
        """By words alone, as some mirrors do."""
        return [one for name, one in self.listings.items() if query.text.lower() in name.lower()][: query.limit]

    def snapshot(self, repository: str, revision: str) -> Snapshot:
        """All files, at a commit that is the revision."""
        files = self.repositories.get(repository)
        if files is None:
            raise DoesNotExist(f"There is no repository {repository} at {self.address}.")
        return Snapshot(repository, revision, tuple(HubFile(path, len(content)) for path, content in files.items()))

    def describe(self, repository: str, revision: str) -> tuple[Listing, Snapshot]:
        """Both."""
        snapshot = self.snapshot(repository, revision)
        return self.listings[repository], snapshot

    def check_access(self, snapshot: Snapshot) -> None:
        """Unless it is gated."""
        if snapshot.repository in self.gated:
            raise PermissionDenied(f"Accept the licence of {snapshot.repository} first.")

    def fetch(self, snapshot: Snapshot, file: HubFile, target: Path, tell: Tell) -> None:
        """By halves."""
        self.check_access(snapshot)
        self.fetched.append(file.path)
        content = self.repositories[snapshot.repository][file.path]
        target.parent.mkdir(parents=True, exist_ok=True)
        half = len(content) // 2
        tell(half)
        if file.path in self.held:
            self.reached.set()
            self.held[file.path].wait(10)
        tell(len(content) - half)
        target.write_bytes(content)

    def cached(self, repository: str, revision: str) -> Path | None:
        """There is no cache."""
        assert repository
        assert revision
        return None
