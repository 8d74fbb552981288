"""Changes of allotments: written off the autoscaler's path, shown, and forgotten when they are old."""

from collections.abc import Sequence

from penstock.control.autoscaler import Autoscaler
from penstock.domain.access import Caller
from penstock.domain.acl import require_view
from penstock.domain.errors import DoesNotExist
from penstock.domain.scaling_record import ScalingRecord
from penstock.ports.clock import Clock
from penstock.ports.store import Store

DAY_MS = 24 * 3600 * 1000
SWEEP_MS = 3600 * 1000


class ScalingHistory:
    """Writes what the autoscaler changed; a loop of its own, so that a database that is away holds up no allotment."""

    def __init__(self, store: Store, clock: Clock, autoscaler: Autoscaler, *, days: float) -> None:
        self._store = store
        self._clock = clock
        self._autoscaler = autoscaler
        self._days = days
        self._swept_at = 0

    async def step(self) -> str:
        """Writes the changes since the last step, and once an hour forgets those older than the history."""
        records = self._autoscaler.take()
        if records:
            async with self._store.unit() as unit:
                await unit.scaling.add(records)
            self._autoscaler.stored(records)
        forgotten = await self._sweep()
        return f"{forgotten} old changes of allotments forgotten" if forgotten else ""

    async def _sweep(self) -> int:
        now = self._clock.now_ms()
        if now - self._swept_at < SWEEP_MS:
            return 0
        async with self._store.unit() as unit:
            forgotten = await unit.scaling.sweep(now - round(self._days * DAY_MS))
        self._swept_at = now
        return forgotten


class ScalingDecisions:
    """What was decided for an endpoint, for those who may see it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def of(self, caller: Caller, name: str, limit: int) -> Sequence[ScalingRecord]:
        """The newest changes, newest first; raises DoesNotExist, or PermissionDenied without CAN_VIEW."""
        async with self._store.unit() as unit:
            endpoint = await unit.endpoints.by_name(name)
            if endpoint is None:
                raise DoesNotExist(f"Endpoint with name '{name}' does not exist.")
            require_view(caller, endpoint.acl, name)
            return await unit.scaling.of(endpoint.id, limit=limit)
