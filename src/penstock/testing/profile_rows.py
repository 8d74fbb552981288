"""Profiles in memory."""

from dataclasses import dataclass, field

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
