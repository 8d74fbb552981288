"""Rows of measured profiles; the contract is `penstock.ports.profile_rows`."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.adapters.store.database import insert_into
from penstock.adapters.store.tables.endpoints import PROFILES
from penstock.domain.profile import CostModel, Fingerprint, Point, Profile

_KEY = ("version", "engine", "precision", "device")


class SqlProfileRows:
    """See `penstock.ports.profile_rows.ProfileRows`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def get(self, fingerprint: Fingerprint) -> Profile | None:
        """The profile with that fingerprint."""
        row = (await self._connection.execute(select(PROFILES).where(*_is(fingerprint)))).one_or_none()
        return _profile(row) if row is not None else None

    async def put(self, profile: Profile) -> None:
        """Stores a profile in place of an older one."""
        values = _values(profile)
        fresh = {name: value for name, value in values.items() if name not in _KEY}
        added = insert_into(self._connection, PROFILES).values(**values)
        await self._connection.execute(added.on_conflict_do_update(index_elements=list(_KEY), set_=fresh))

    async def of(self, version: str) -> Sequence[Profile]:
        """The version's, newest first."""
        query = select(PROFILES).where(PROFILES.c.version == version).order_by(PROFILES.c.measured_at.desc())
        return [_profile(row) for row in await self._connection.execute(query)]

    async def mark(self, fingerprint: Fingerprint, measured_at: int, stale: str) -> None:
        """Marks it, if it is still the one."""
        same = (*_is(fingerprint), PROFILES.c.measured_at == measured_at)
        await self._connection.execute(update(PROFILES).where(*same).values(stale=stale))


def _is(fingerprint: Fingerprint) -> tuple[ColumnElement[bool], ...]:
    return tuple(PROFILES.c[name] == getattr(fingerprint, name) for name in _KEY)


def _values(profile: Profile) -> dict[str, object]:
    return {
        "version": profile.fingerprint.version,
        "engine": profile.fingerprint.engine,
        "precision": profile.fingerprint.precision,
        "device": profile.fingerprint.device,
        "throughput": profile.throughput,
        "knee": profile.knee,
        "curve": [[p.parallel, p.tokens_per_s, p.latency_s, p.ttft_s, p.scaled, p.short] for p in profile.curve],
        "cost": [*profile.cost.coefficients, profile.cost.error],
        "input_tokens": profile.input_tokens,
        "output_tokens": profile.output_tokens,
        "startup_s": profile.startup_s,
        "memory": profile.memory,
        "measured_at": profile.measured_at,
        "held_out_mean": profile.held_out_mean,
        "held_out_worst": profile.held_out_worst,
        "stale": profile.stale,
    }


def _profile(row: Row[Any]) -> Profile:
    return Profile(
        fingerprint=Fingerprint(row.version, row.engine, row.precision, row.device),
        estimated=False,
        throughput=row.throughput,
        knee=row.knee,
        curve=tuple(Point(*point) for point in row.curve),
        cost=CostModel(*row.cost),
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        startup_s=row.startup_s,
        memory=row.memory,
        measured_at=row.measured_at,
        held_out_mean=row.held_out_mean,
        held_out_worst=row.held_out_worst,
        stale=row.stale,
    )
