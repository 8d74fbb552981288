"""What is known of secrets without asking the database, so that requests go on while it is away."""

from collections.abc import Sequence
from dataclasses import dataclass

from penstock.domain.access import Principal
from penstock.domain.secret import AclItem, Sealed, SecretRef

MAX_KNOWN = 10_000


@dataclass(frozen=True, slots=True)
class Known:
    """A secret, sealed, and the ACL of its scope."""

    acl: Sequence[AclItem]
    sealed: Sealed


class SecretMemory:
    """Secrets that were resolved and principals they were resolved for, until they change.

    This server is the only one that writes to its database, so whoever changes something says it here, after the unit
    that changed it. `changes` tells a reader that what it has just read may be old.
    """

    def __init__(self) -> None:
        self.changes = 0
        self._known: dict[SecretRef, Known] = {}
        self._people: dict[str, Principal] = {}

    def get(self, ref: SecretRef) -> Known | None:
        """The secret, if it is known."""
        return self._known.get(ref.folded)

    def keep(self, ref: SecretRef, known: Known) -> None:
        """Remembers a secret, in place of the one known longest if there are too many."""
        if len(self._known) >= MAX_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[ref.folded] = known

    def person(self, name: str) -> Principal | None:
        """The principal, if it is known."""
        return self._people.get(name)

    def keep_person(self, principal: Principal) -> None:
        """Remembers a principal, in place of the one known longest if there are too many."""
        if len(self._people) >= MAX_KNOWN:
            del self._people[next(iter(self._people))]
        self._people[principal.name] = principal

    def forget(self, scope: str) -> None:
        """The scope's secrets or its ACL changed."""
        self.changes += 1
        gone = [ref for ref in self._known if ref.scope == scope.lower()]
        for ref in gone:
            del self._known[ref]

    def forget_person(self, principal: Principal) -> None:
        """A principal changed, or is gone and with it its items of ACLs."""
        self.forget_name(principal.name)

    def forget_name(self, name: str) -> None:
        """The same of a principal or a group, by name."""
        self.changes += 1
        self._people.pop(name, None)
        gone = [ref for ref, known in self._known.items() if any(i.principal == name for i in known.acl)]
        for ref in gone:
            del self._known[ref]
