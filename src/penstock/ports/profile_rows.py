"""Measured profiles, as stored."""

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
