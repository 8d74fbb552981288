"""Measured profiles, as stored."""

from collections.abc import Sequence
from typing import Protocol

from penstock.domain.profile import Fingerprint, Profile


class ProfileRows(Protocol):
    """Rows of profiles, one per fingerprint."""

    async def get(self, fingerprint: Fingerprint) -> Profile | None:
        """The measured profile with exactly that fingerprint."""
        ...

    async def put(self, profile: Profile) -> None:
        """Stores a profile in place of an older one with the same fingerprint."""
        ...

    async def of(self, version: str) -> Sequence[Profile]:
        """All profiles of a version ("<catalog.schema.model>/<number>"), the newest measurement first."""
        ...

    async def mark(self, fingerprint: Fingerprint, measured_at: int, stale: str) -> None:
        """Marks the profile that was measured then as stale, for that reason; does nothing if there is another now."""
        ...
