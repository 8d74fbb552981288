"""Groups of users and service principals. Two are always there: all are in `users`, and `admins` may do everything."""

from dataclasses import dataclass

from penstock.domain.access import ADMINS, USERS
from penstock.domain.errors import InvalidParameter


@dataclass(frozen=True, slots=True)
class Group:
    """A group; `id` is a decimal string, and the name never changes, as grants know groups by it."""

    id: str
    name: str

    @property
    def builtin(self) -> bool:
        """Whether it is one that is always there."""
        return self.name in (ADMINS, USERS)


def check_new_name(given: str | None, group: Group) -> None:
    """Raises InvalidParameter if a group is to be renamed."""
    if given is not None and given != group.name:
        raise InvalidParameter(
            f"displayName: the group '{group.name}' cannot be renamed, as grants know it by its name; make another one."
        )


def check_members(group: Group, *, fewer: bool) -> None:
    """Raises InvalidParameter if members are to leave a group that all are in."""
    if fewer and group.name == USERS:
        raise InvalidParameter(
            f"members: everybody is in the group '{USERS}'; deactivate or delete principals instead."
        )


def check_removable(group: Group) -> None:
    """Raises InvalidParameter for a group that is always there."""
    if group.builtin:
        raise InvalidParameter(f"The group '{group.name}' cannot be deleted.")
