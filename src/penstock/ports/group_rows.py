"""Groups, as stored. Who is in them is stored with principals."""

from collections.abc import Sequence
from typing import Protocol

from penstock.domain.group import Group


class GroupRows(Protocol):
    """Rows of groups. `admins` and `users` are there from the start."""

    async def add(self, group: Group, now_ms: int) -> None:
        """Adds a group; raises AlreadyExists if its id or name is taken."""
        ...

    async def list(self) -> Sequence[Group]:
        """All groups, by name."""
        ...

    async def get(self, group_id: str) -> Group | None:
        """The group of that id."""
        ...

    async def named(self, name: str) -> Group | None:
        """The group of exactly that name."""
        ...

    async def remove(self, group_id: str) -> None:
        """Removes the group; its members must have left it."""
        ...
