"""Profiles in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from penstock.domain.profile import Fingerprint, Profile


@dataclass
class FakeProfileRows:
    """See `penstock.ports.profile_rows.ProfileRows`."""

    by_fingerprint: dict[Fingerprint, Profile] = field(default_factory=dict)

    async def get(self, fingerprint: Fingerprint) -> Profile | None:
        """The profile with that fingerprint."""
        return self.by_fingerprint.get(fingerprint)

    async def put(self, profile: Profile) -> None:
        """Stores a profile in place of an older one."""
        self.by_fingerprint[profile.fingerprint] = profile

    async def of(self, version: str) -> Sequence[Profile]:
        """The version's, newest first."""
        mine = [one for one in self.by_fingerprint.values() if one.fingerprint.version == version]
        return sorted(mine, key=lambda one: one.measured_at, reverse=True)

    async def mark(self, fingerprint: Fingerprint, measured_at: int, stale: str) -> None:
        """Marks it, if it is still the one."""
        known = self.by_fingerprint.get(fingerprint)
        if known is not None and known.measured_at == measured_at:
            self.by_fingerprint[fingerprint] = replace(known, stale=stale)
