"""Secret scopes, ACLs and sealed secrets in memory."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from penstock.domain.errors import AlreadyExists
from penstock.domain.secret import AclItem, SecretInfo, SecretRecord, SecretRef, SecretScope


@dataclass
class FakeSecretRows:
    """See `penstock.ports.secret_rows.SecretRows`."""

    scope_by_name: dict[str, SecretScope] = field(default_factory=dict)
    items: dict[tuple[str, str], AclItem] = field(default_factory=dict)
    records: dict[SecretRef, SecretRecord] = field(default_factory=dict)

    async def scopes(self) -> Sequence[SecretScope]:
        """All, by name."""
        return [self.scope_by_name[name] for name in sorted(self.scope_by_name)]

    async def scope(self, name: str) -> SecretScope | None:
        """By name."""
        return self.scope_by_name.get(name.lower())

    async def add_scope(self, scope: SecretScope) -> None:
        """Adds a scope."""
        if scope.name.lower() in self.scope_by_name:
            raise AlreadyExists(f"Scope {scope.name} already exists!")
        self.scope_by_name[scope.name.lower()] = scope

    async def remove_scope(self, name: str) -> None:
        """Removes it with all that is in it."""
        self.scope_by_name.pop(name.lower(), None)
        self.items = {key: item for key, item in self.items.items() if key[0] != name.lower()}
        self.records = {ref: record for ref, record in self.records.items() if ref.scope != name.lower()}

    async def acl(self, scope: str) -> Sequence[AclItem]:
        """The scope's ACL, by principal."""
        return [self.items[key] for key in sorted(self.items) if key[0] == scope.lower()]

    async def put_acl(self, scope: str, item: AclItem) -> None:
        """Adds or replaces an item."""
        self.items[self.scope_key(scope), item.principal] = item

    def scope_key(self, scope: str) -> str:
        """The scope's folded name; raises KeyError if it is not there, as a foreign key would."""
        assert self.scope_by_name[scope.lower()]
        return scope.lower()

    async def remove_acl(self, scope: str, principal: str) -> bool:
        """Removes an item."""
        return self.items.pop((scope.lower(), principal), None) is not None

    async def forget_principal(self, principal: str) -> None:
        """Removes the principal's items."""
        self.items = {key: item for key, item in self.items.items() if key[1] != principal}

    async def keys(self, scope: str) -> Sequence[SecretInfo]:
        """The scope's secrets, by key."""
        mine = sorted((ref for ref in self.records if ref.scope == scope.lower()), key=lambda ref: ref.key)
        return [SecretInfo(self.records[ref].ref.key, self.records[ref].updated_at) for ref in mine]

    async def get(self, ref: SecretRef) -> SecretRecord | None:
        """One secret."""
        return self.records.get(ref.folded)

    async def put(self, record: SecretRecord) -> None:
        """Stores a secret; its names stay as they were given first."""
        folded = record.ref.folded
        scope, older = self.scope_by_name[folded.scope], self.records.get(folded)
        shown = older.ref if older else SecretRef(scope.name, record.ref.key)
        self.records[folded] = replace(record, ref=shown)

    async def remove(self, ref: SecretRef) -> bool:
        """Removes it."""
        return self.records.pop(ref.folded, None) is not None

    async def key_ids(self) -> Mapping[str, int]:
        """How many secrets are sealed under each key."""
        return Counter(record.sealed.key_id for record in self.records.values())

    async def sealed_under_others(self, key_id: str, most: int) -> Sequence[SecretRecord]:
        """Secrets that are sealed under another key."""
        order = sorted(self.records, key=lambda ref: (ref.scope, ref.key))
        return [self.records[ref] for ref in order if self.records[ref].sealed.key_id != key_id][:most]
