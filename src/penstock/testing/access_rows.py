"""Principals, tokens and client secrets in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from penstock.domain.access import ClientSecret, Principal, PrincipalKind, Token, TokenKind
from penstock.domain.errors import AlreadyExists


@dataclass
class FakeAccessRows:
    """See `penstock.ports.access_rows.AccessRows`."""

    installation: dict[str, str] = field(default_factory=dict)
    people: dict[str, Principal] = field(default_factory=dict)
    token_by_id: dict[str, Token] = field(default_factory=dict)
    id_by_digest: dict[str, str] = field(default_factory=dict)
    secret_by_id: dict[str, ClientSecret] = field(default_factory=dict)

    async def workspace_id(self) -> str | None:
        """The installation's number."""
        return self.installation.get("workspace_id")

    async def set_workspace_id(self, workspace_id: str) -> None:
        """Sets it, once."""
        if self.installation:
            raise AlreadyExists("The installation has a workspace id.")
        self.installation["workspace_id"] = workspace_id

    async def add_principal(self, principal: Principal, now_ms: int) -> None:  # noqa: ARG002 - nothing reads it yet
        """Adds a principal."""
        if principal.id in self.people or await self.principal_named(principal.name):
            raise AlreadyExists(f"A principal named '{principal.name}' already exists.")
        self.people[principal.id] = principal

    async def save_principal(self, principal: Principal) -> None:
        """Replaces display name, groups and active."""
        self.people[principal.id] = replace(
            self.people[principal.id],
            display_name=principal.display_name,
            groups=principal.groups,
            active=principal.active,
        )

    async def principal(self, principal_id: str) -> Principal | None:
        """By id."""
        return self.people.get(principal_id)

    async def principal_named(self, name: str) -> Principal | None:
        """By name."""
        return next((principal for principal in self.people.values() if principal.name == name), None)

    async def principals(self, kind: PrincipalKind) -> Sequence[Principal]:
        """All of a kind, by name."""
        found = [principal for principal in self.people.values() if principal.kind is kind]
        return sorted(found, key=lambda principal: principal.name)

    async def remove_principal(self, principal_id: str) -> bool:
        """Removes it with its tokens and secrets."""
        for token in await self.tokens(principal_id):
            await self.remove_token(token.id)
        for secret in await self.secrets(principal_id):
            del self.secret_by_id[secret.id]
        return self.people.pop(principal_id, None) is not None

    async def add_token(self, token: Token, digest: str) -> None:
        """Adds a token."""
        if digest in self.id_by_digest:
            raise AlreadyExists("This token already exists.")
        self.token_by_id[token.id] = token
        self.id_by_digest[digest] = token.id

    async def by_digest(self, digest: str) -> tuple[Token, Principal] | None:
        """A token and whose it is."""
        token = self.token_by_id.get(self.id_by_digest.get(digest, ""))
        return (token, self.people[token.principal_id]) if token else None

    async def token(self, token_id: str) -> Token | None:
        """By id."""
        return self.token_by_id.get(token_id)

    async def tokens(self, principal_id: str) -> Sequence[Token]:
        """All of a principal, oldest first."""
        return self._sorted([token for token in self.token_by_id.values() if token.principal_id == principal_id])

    async def tokens_of_kind(self, kind: TokenKind) -> Sequence[Token]:
        """All of a kind, oldest first."""
        return self._sorted([token for token in self.token_by_id.values() if token.kind is kind])

    def _sorted(self, tokens: Sequence[Token]) -> list[Token]:
        return sorted(tokens, key=lambda token: (token.created_at, token.id))

    async def remove_token(self, token_id: str) -> bool:
        """Removes it."""
        digests = [digest for digest, owner in self.id_by_digest.items() if owner == token_id]
        for digest in digests:
            del self.id_by_digest[digest]
        return self.token_by_id.pop(token_id, None) is not None

    async def used(self, times: Mapping[str, int]) -> None:
        """Notes last uses."""
        for token_id, at in times.items():
            if token_id in self.token_by_id:
                self.token_by_id[token_id] = replace(self.token_by_id[token_id], last_used_at=at)

    async def sweep_tokens(self, before_ms: int) -> int:
        """Removes expired ones."""
        gone = [t.id for t in self.token_by_id.values() if t.expires_at is not None and t.expires_at < before_ms]
        for token_id in gone:
            await self.remove_token(token_id)
        return len(gone)

    async def add_secret(self, secret: ClientSecret) -> None:
        """Adds a client secret."""
        self.secret_by_id[secret.id] = secret

    async def secrets(self, principal_id: str) -> Sequence[ClientSecret]:
        """All of a principal, oldest first."""
        found = [secret for secret in self.secret_by_id.values() if secret.principal_id == principal_id]
        return sorted(found, key=lambda secret: (secret.created_at, secret.id))

    async def remove_secret(self, principal_id: str, secret_id: str) -> bool:
        """Removes it."""
        found = self.secret_by_id.get(secret_id)
        if found is None or found.principal_id != principal_id:
            return False
        del self.secret_by_id[secret_id]
        return True
