"""Grants on catalogs, schemas and models, as stored."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from penstock.domain.grant import Grants


class GrantRows(Protocol):
    """Rows of grants, by the id of what they are on."""

    async def of(self, ids: Sequence[str]) -> Mapping[str, Grants]:
        """The grants on each; an id that has none is not there."""
        ...

    async def put(self, securable_id: str, grants: Grants) -> None:
        """Puts grants in place of those there are."""
        ...

    async def forget(self, securable_id: str) -> None:
        """Removes the grants on what is gone. Safe to repeat."""
        ...

    async def forget_principal(self, name: str) -> None:
        """Removes the grants of who is gone. Safe to repeat."""
        ...
