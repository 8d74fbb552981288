"""Use cases beside an endpoint's configuration: stop and start, who is told of updates, telemetry."""

from collections.abc import Awaitable, Callable
from contextlib import suppress

from penstock.control.endpoint_views import EndpointView, view
from penstock.control.endpoint_wishes import ConfigWish
from penstock.control.endpoints import Endpoints
from penstock.domain.access import Caller, PermissionLevel
from penstock.domain.acl import require_manage
from penstock.domain.endpoint import Endpoint, check_changeable
from penstock.domain.errors import Conflict, DoesNotExist, InvalidParameter, InvalidRequest, PenstockError
from penstock.domain.notification import Notifications
from penstock.domain.telemetry import Telemetry
from penstock.ports.clock import Clock
from penstock.ports.store import Store, Unit


class EndpointSettings:
    """Changes of endpoints that make no new configuration, except `start`.

    `hint` wakes the reconciler for an endpoint's id, and `settle` lets it take a step now.
    """

    def __init__(
        self,
        store: Store,
        endpoints: Endpoints,
        clock: Clock,
        *,
        hint: Callable[[str], None],
        settle: Callable[[str], Awaitable[object]],
    ) -> None:
        self._store = store
        self._endpoints = endpoints
        self._clock = clock
        self._hint = hint
        self._settle = settle

    async def stop(self, caller: Caller, name: str) -> EndpointView:
        """Stops serving: replicas end, and what was reserved for the endpoint is free.

        Raises Conflict while an update is in progress, InvalidRequest if nothing serves or nothing runs here.
        """
        async with self._store.unit() as unit:
            endpoint = await _managed(unit, caller, name)
            _check_idle(endpoint)
            if endpoint.active is None:
                why = "is stopped already" if endpoint.suspended else "serves nothing"
                raise InvalidRequest(f"Endpoint '{name}' {why}: there is nothing to stop.")
            if not endpoint.active.entities:
                raise InvalidRequest(
                    f"Endpoint '{name}' serves external models only: nothing runs that can be stopped."
                )
            await unit.endpoints.stop(endpoint.id, self._clock.now_ms())
            endpoint = await _managed(unit, caller, name)
        self._hint(endpoint.id)
        with suppress(PenstockError):  # the reconciler's own loop takes that step again
            # No request is taken once this returns.
            await self._settle(endpoint.id)
        return view(endpoint, (), PermissionLevel.CAN_MANAGE)

    async def start(self, caller: Caller, name: str) -> EndpointView:
        """Wants what served before the endpoint was stopped, as a new configuration.

        Raises Conflict while it is being started, InvalidRequest if it was not stopped, and what an update raises.
        """
        async with self._store.unit() as unit:
            endpoint = await _managed(unit, caller, name)
        _check_idle(endpoint)
        if endpoint.stopped is None:
            raise InvalidRequest(f"Endpoint '{name}' was not stopped: there is nothing to start.")
        return await self._endpoints.update(caller, name, ConfigWish(None, endpoint.stopped.routes))

    async def set_notifications(self, caller: Caller, name: str, notifications: Notifications) -> Notifications:
        """Replaces the addresses that are told of updates."""
        async with self._store.unit() as unit:
            endpoint = await _managed(unit, caller, name)
            await unit.endpoints.set_notifications(endpoint.id, notifications)
        return notifications

    async def set_telemetry(self, caller: Caller, name: str, telemetry: Telemetry | None) -> EndpointView:
        """Replaces the telemetry configuration; None removes it.

        Raises Conflict while an update is in progress, InvalidParameter if nothing is configured that runs here.
        """
        async with self._store.unit() as unit:
            endpoint = await _managed(unit, caller, name)
            _check_idle(endpoint)
            if endpoint.current is None or not endpoint.current.entities:
                raise InvalidParameter(
                    f"Endpoint '{name}' has no configuration of models that run here, which telemetry_config is for."
                )
            await unit.endpoints.set_telemetry(endpoint.id, telemetry)
        return await self._endpoints.get(caller, name)


async def _managed(unit: Unit, caller: Caller, name: str) -> Endpoint:
    endpoint = await unit.endpoints.by_name(name)
    if endpoint is None:
        raise DoesNotExist(f"Endpoint with name '{name}' does not exist.")
    require_manage(caller, endpoint.acl, name)
    check_changeable(endpoint)
    return endpoint


def _check_idle(endpoint: Endpoint) -> None:
    if endpoint.pending is not None:
        raise Conflict(
            f"Endpoint '{endpoint.name}' is being updated to config version {endpoint.pending.version}; "
            "wait until that has ended, or cancel it."
        )
