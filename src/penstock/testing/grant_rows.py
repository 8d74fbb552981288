"""Grants on the catalogue in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from penstock.domain.grant import Grants


@dataclass
class FakeGrantRows:
    """See `penstock.ports.grant_rows.GrantRows`."""

    by_id: dict[str, Grants] = field(default_factory=dict)

    async def of(self, ids: Sequence[str]) -> Mapping[str, Grants]:
        """The grants on each."""
        return {key: self.by_id[key] for key in ids if self.by_id.get(key)}

    async def put(self, securable_id: str, grants: Grants) -> None:
        """Puts grants in place of those there are."""
        self.by_id[securable_id] = {name: privileges for name, privileges in grants.items() if privileges}

    async def forget(self, securable_id: str) -> None:
        """Removes the grants on what is gone."""
        self.by_id.pop(securable_id, None)

    async def forget_principal(self, name: str) -> None:
        """Removes the grants of who is gone."""
        self.by_id = {
            key: {who: given for who, given in grants.items() if who != name} for key, grants in self.by_id.items()
        }
