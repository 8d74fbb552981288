"""Multipart uploads in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from penstock.ports.upload_rows import Upload, UploadState


@dataclass
class FakeUploadRows:
    """See `penstock.ports.upload_rows.UploadRows`."""

    by_session: dict[str, Upload] = field(default_factory=dict)

    async def add(self, upload: Upload) -> None:
        """Adds an upload."""
        self.by_session[upload.session] = upload

    async def get(self, session: str) -> Upload | None:
        """One upload."""
        return self.by_session.get(session)

    async def end(self, session: str, state: UploadState, now_ms: int) -> bool:
        """Ends an open upload."""
        upload = self.by_session.get(session)
        if upload is None or upload.state is not UploadState.OPEN:
            return False
        self.by_session[session] = replace(upload, state=state, updated_at=now_ms)
        return True

    async def touch(self, session: str, now_ms: int) -> None:
        """Notes that something was uploaded."""
        if session in self.by_session:
            self.by_session[session] = replace(self.by_session[session], updated_at=now_ms)

    async def stale(self, updated_before: int, *, limit: int = 100) -> Sequence[Upload]:
        """Uploads that nothing happened to, oldest first."""
        found = [upload for upload in self.by_session.values() if upload.updated_at < updated_before]
        return sorted(found, key=lambda upload: (upload.updated_at, upload.session))[:limit]

    async def remove(self, sessions: Sequence[str]) -> None:
        """Removes uploads."""
        for session in sessions:
            self.by_session.pop(session, None)

    async def sessions(self) -> frozenset[str]:
        """All sessions."""
        return frozenset(self.by_session)
