"""Groups in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from penstock.domain.access import ADMINS, USERS
from penstock.domain.errors import AlreadyExists
from penstock.domain.group import Group


def _builtin() -> dict[str, Group]:
    return {group.id: group for group in (Group("11", ADMINS), Group("12", USERS))}


@dataclass
class FakeGroupRows:
    """See `penstock.ports.group_rows.GroupRows`."""

    by_key: dict[str, Group] = field(default_factory=_builtin)

    async def add(self, group: Group, now_ms: int) -> None:  # noqa: ARG002 - nothing reads it yet
        """Adds a group."""
        if group.id in self.by_key or await self.named(group.name):
            raise AlreadyExists(f"A group named '{group.name}' already exists.")
        self.by_key[group.id] = group

    async def list(self) -> Sequence[Group]:
        """All groups, by name."""
        return sorted(self.by_key.values(), key=lambda group: group.name)

    async def get(self, group_id: str) -> Group | None:
        """By id."""
        return self.by_key.get(group_id)

    async def named(self, name: str) -> Group | None:
        """By name."""
        return next((group for group in self.by_key.values() if group.name == name), None)

    async def remove(self, group_id: str) -> None:
        """Removes it."""
        self.by_key.pop(group_id, None)
