"""A hub that can be searched; raises what `penstock.ports.hub` says."""

from collections.abc import Sequence
from typing import Protocol

from penstock.domain.market import Listing, Query
from penstock.ports.hub import Hub, Snapshot


class Market(Hub, Protocol):
    """A hub, with its shop window."""

    def search(self, query: Query) -> Sequence[Listing]:
        """At most `limit` repositories with weights in safetensors, the most downloaded first."""
        ...

    def describe(self, repository: str, revision: str) -> tuple[Listing, Snapshot]:
        """One repository with its files."""
        ...

    def check_access(self, snapshot: Snapshot) -> None:
        """Returns if files of it are given out; raises PermissionDenied with what is to be done."""
        ...
