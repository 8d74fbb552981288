"""Rows of secret scopes, ACLs and sealed secrets. Names of scopes and keys fold case, and come back as given."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from penstock.domain.secret import AclItem, SecretInfo, SecretRecord, SecretRef, SecretScope


class SecretRows(Protocol):
    """See the module's docstring."""

    async def scopes(self) -> Sequence[SecretScope]:
        """All scopes, those of the system's own included, by name."""
        ...

    async def scope(self, name: str) -> SecretScope | None:
        """By name."""
        ...

    async def add_scope(self, scope: SecretScope) -> None:
        """Adds a scope; raises AlreadyExists if the name is taken."""
        ...

    async def remove_scope(self, name: str) -> None:
        """Removes it with its ACL and its secrets; nothing happens if it is not there."""
        ...

    async def acl(self, scope: str) -> Sequence[AclItem]:
        """The scope's ACL, by principal."""
        ...

    async def put_acl(self, scope: str, item: AclItem) -> None:
        """Adds the item, in place of one of the same principal. The scope must be there."""
        ...

    async def remove_acl(self, scope: str, principal: str) -> bool:
        """Removes the principal's item; False if there is none."""
        ...

    async def forget_principal(self, principal: str) -> None:
        """Removes the principal's item from every scope."""
        ...

    async def keys(self, scope: str) -> Sequence[SecretInfo]:
        """The scope's secrets without their values, by key."""
        ...

    async def get(self, ref: SecretRef) -> SecretRecord | None:
        """One secret."""
        ...

    async def put(self, record: SecretRecord) -> None:
        """Stores a secret in place of an older one. The scope must be there."""
        ...

    async def remove(self, ref: SecretRef) -> bool:
        """Removes it; False if it is not there."""
        ...

    async def key_ids(self) -> Mapping[str, int]:
        """How many secrets are sealed under each key."""
        ...

    async def sealed_under_others(self, key_id: str, most: int) -> Sequence[SecretRecord]:
        """Up to `most` secrets that are sealed under another key than that one."""
        ...
