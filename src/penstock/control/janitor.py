"""Sweeps what uploads left behind: versions that were never finalized, parts, files and contents without an owner."""

from contextlib import suppress

from penstock.control.versions import Versions
from penstock.domain.catalog import ModelVersion, VersionStatus
from penstock.domain.errors import Conflict, DoesNotExist
from penstock.domain.tracking_path import STORAGE
from penstock.ports.artifacts import ArtifactStore
from penstock.ports.catalog_rows import Outcome
from penstock.ports.clock import Clock
from penstock.ports.store import Store

ORPHAN_MS = 3_600_000
"""What no row refers to is left alone for an hour: its row may be on the way."""
PATIENCE_MS = 600_000
"""A sealed version that is still pending after ten minutes was finalized by a server that died on the way."""
JANITOR = "penstock"


class Janitor:
    """One step of sweeping; `penstock.control.loop` runs it."""

    def __init__(
        self, store: Store, clock: Clock, artifacts: ArtifactStore, versions: Versions, upload_expiry_s: int
    ) -> None:
        self._store = store
        self._clock = clock
        self._artifacts = artifacts
        self._versions = versions
        self._expiry_ms = upload_expiry_s * 1000

    async def step(self) -> str:
        """One sweep; says what it did, or nothing if nothing was to be done. Safe to be killed anywhere."""
        finished, failed = await self._versions_left()
        uploads = await self._uploads_left()
        freed = await self._sweep()
        done = [
            f"{finished} versions finalized" if finished else "",
            f"{failed} versions failed that were not all uploaded" if failed else "",
            f"{uploads} old uploads forgotten" if uploads else "",
            f"{freed} bytes freed" if freed else "",
        ]
        return ", ".join(filter(None, done))

    async def _versions_left(self) -> tuple[int, int]:
        """Finishes what was sealed, and fails what expired."""
        now = self._clock.now_ms()
        async with self._store.unit() as unit:
            pending = await unit.catalog.pending(now - PATIENCE_MS)
        finished = failed = 0
        for version in pending:
            if await self._artifacts.is_sealed(version.storage):
                with suppress(DoesNotExist, Conflict):  # deleted or ended meanwhile
                    await self._versions.finalize(version.name, version.number, JANITOR)
                    finished += 1
            elif await self._expired(version, now):
                failed += await self._fail(version, now)
        return finished, failed

    async def _expired(self, version: ModelVersion, now: int) -> bool:
        before = now - self._expiry_ms
        return version.created_at < before and await self._artifacts.touched_at(version.storage) < before

    async def _fail(self, version: ModelVersion, now: int) -> bool:
        reason = f"Its files were not all uploaded: nothing came for {self._expiry_ms // 1000} seconds."
        outcome = Outcome(VersionStatus.FAILED_REGISTRATION, reason, None, "", now, JANITOR)
        async with self._store.unit() as unit:
            ended = await unit.catalog.end_version(version.model, version.number, outcome)
        if ended:
            await self._artifacts.remove(version.storage)
        return ended

    async def _uploads_left(self) -> int:
        before = self._clock.now_ms() - self._expiry_ms
        async with self._store.unit() as unit:
            stale = [upload.session for upload in await unit.uploads.stale(before)]
            await unit.uploads.remove(stale)
        for session in stale:
            await self._artifacts.abort(session)
        return len(stale)

    async def _sweep(self) -> int:
        async with self._store.unit() as unit:
            keep, sessions = await unit.catalog.storages() | {STORAGE}, await unit.uploads.sessions()
        return await self._artifacts.sweep(keep, sessions, self._clock.now_ms() - ORPHAN_MS)
