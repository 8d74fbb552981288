"""What is served, in memory: the newest snapshot of every endpoint, and who waits for a newer one."""

import asyncio
from dataclasses import replace
from types import TracebackType
from typing import Protocol

from penstock.domain.acl import Acl
from penstock.domain.errors import EndpointNotFound
from penstock.domain.foundation import Signs
from penstock.domain.routing import EndpointRoute
from penstock.ports.clock import Clock


class Hearer(Protocol):
    """A part of the gateway that keeps something of each endpoint."""

    def publish(self, endpoint: EndpointRoute) -> None:
        """The endpoint is there, or has changed."""
        ...

    def withdraw(self, endpoint_id: str) -> None:
        """The endpoint is gone."""
        ...


class Activity:
    """Requests to one served entity that run or wait. Entered as a context, once by each request."""

    __slots__ = ("_clock", "_quiet_since", "_running")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._running = 0
        self._quiet_since = clock.monotonic()

    def idle_s(self) -> float:
        """Seconds since the last request ended; 0 while there is one."""
        return 0.0 if self._running else self._clock.monotonic() - self._quiet_since

    def __enter__(self) -> None:
        self._running += 1

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._running -= 1
        self._quiet_since = self._clock.monotonic()


class _Place:
    """An endpoint in the table."""

    __slots__ = ("activity", "asked_at", "route", "waiters")

    def __init__(self, route: EndpointRoute) -> None:
        self.route = route
        self.activity: dict[str, Activity] = {}
        self.waiters: set[asyncio.Future[bool]] = set()
        self.asked_at: dict[str, float] = {}


class Table:
    """Endpoints by name and by id; see `penstock.ports.routing.RouteTable`."""

    def __init__(self, clock: Clock, *hearers: Hearer, signs: Signs | None = None) -> None:
        """`hearers` hear of endpoints first, so that nobody is woken for what they do not know.

        `signs` lead from other names to endpoints, and say why one is not there.
        """
        self._clock = clock
        self._signs = signs or Signs()
        self._hearers = hearers
        self._by_name: dict[str, EndpointRoute] = {}
        self._places: dict[str, _Place] = {}
        self._permitted: dict[str, Acl] = {}

    def publish(self, endpoint: EndpointRoute) -> None:
        """Replaces what is known of the endpoint, and wakes who waits for it."""
        endpoint = self._as_permitted(endpoint)
        for hearer in self._hearers:
            hearer.publish(endpoint)
        place = self._places.get(endpoint.id)
        if place is None:
            place = self._places[endpoint.id] = _Place(endpoint)
        else:
            self._by_name.pop(place.route.name, None)
        place.route = endpoint
        place.activity = {
            entity.name: place.activity.get(entity.name) or Activity(self._clock) for entity in endpoint.entities
        }
        waking = {entity.name for entity in endpoint.entities if not (entity.replicas or entity.stuck)}
        place.asked_at = {name: at for name, at in place.asked_at.items() if name in waking}
        self._by_name[endpoint.name] = endpoint
        _wake(place)

    def permit(self, endpoint_id: str, acl: Acl) -> None:
        """From now on, whatever is published of the endpoint, these are the grants on it."""
        self._permitted[endpoint_id] = acl
        place = self._places.get(endpoint_id)
        if place is not None:
            known = self._by_name.get(place.route.name) is place.route
            place.route = self._as_permitted(place.route)
            if known:
                self._by_name[place.route.name] = place.route

    def _as_permitted(self, endpoint: EndpointRoute) -> EndpointRoute:
        # What is published may have been read before the grants changed.
        acl = self._permitted.get(endpoint.id)
        return endpoint if acl is None or acl == endpoint.acl else replace(endpoint, acl=acl)

    def withdraw(self, endpoint_id: str) -> None:
        """Forgets the endpoint, and wakes who waits for it."""
        for hearer in self._hearers:
            hearer.withdraw(endpoint_id)
        self._permitted.pop(endpoint_id, None)
        place = self._places.pop(endpoint_id, None)
        if place is not None:
            # A new endpoint may have taken the name already.
            if self._by_name.get(place.route.name) is place.route:
                del self._by_name[place.route.name]
            _wake(place)

    def idle_s(self, endpoint_id: str, entity: str) -> float:
        """Seconds without a request to that served entity."""
        place = self._places.get(endpoint_id)
        activity = place.activity.get(entity) if place else None
        return activity.idle_s() if activity else 0.0

    def find(self, name: str) -> EndpointRoute | None:
        """The endpoint of that name, or of which it is another name."""
        found = self._by_name.get(name)
        if found is None and name in self._signs.aliases:
            found = self._by_name.get(self._signs.aliases[name])
        return found

    def missing(self, name: str) -> EndpointNotFound:
        """What is said of an endpoint that is not there."""
        return EndpointNotFound(self._signs.missing(name))

    def current(self, endpoint_id: str) -> EndpointRoute | None:
        """The endpoint as it is now; None if it is gone."""
        place = self._places.get(endpoint_id)
        return place.route if place else None

    def names(self) -> list[str]:
        """The names of all endpoints, in order."""
        return sorted(self._by_name)

    def routes(self) -> list[EndpointRoute]:
        """All endpoints, in the order of their names."""
        return [self._by_name[name] for name in self.names()]

    def activity(self, endpoint_id: str, entity: str) -> Activity:
        """Where a request to that served entity is counted while it runs or waits."""
        place = self._places.get(endpoint_id)
        found = place.activity.get(entity) if place else None
        return found or Activity(self._clock)

    def waking_s(self, endpoint_id: str, entity: str) -> float:
        """Seconds since a replica of that served entity, which has none, was asked for; the first call is when."""
        place = self._places.get(endpoint_id)
        now = self._clock.monotonic()
        return now - place.asked_at.setdefault(entity, now) if place else 0.0

    def waiting(self, endpoint_id: str) -> int:
        """How many wait for a newer snapshot of the endpoint."""
        place = self._places.get(endpoint_id)
        return len(place.waiters) if place else 0

    async def changed(self, endpoint_id: str, limit_s: float | None) -> bool:
        """Returns True when the endpoint is published again or withdrawn, False after `limit_s` seconds if given."""
        place = self._places.get(endpoint_id)
        if place is None:
            return True
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        place.waiters.add(waiter)
        timer = None if limit_s is None else asyncio.ensure_future(self._expire(waiter, limit_s))
        try:
            return await waiter
        finally:
            place.waiters.discard(waiter)
            if timer is not None:
                timer.cancel()

    async def _expire(self, waiter: asyncio.Future[bool], limit_s: float) -> None:
        await self._clock.sleep(limit_s)
        if not waiter.done():
            waiter.set_result(False)


def _wake(place: _Place) -> None:
    for waiter in place.waiters:
        if not waiter.done():
            waiter.set_result(True)
