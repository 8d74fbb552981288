"""Use cases of serving endpoints: they check what is asked, write what is wanted, and wake the reconciler."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from penstock.control.configurations import Configurations
from penstock.control.endpoint_bounds import EndpointBounds
from penstock.control.endpoint_views import EndpointView, view
from penstock.control.endpoint_wishes import ConfigWish, EndpointWish
from penstock.control.notices import Notices
from penstock.domain.access import USERS, Caller, PermissionLevel
from penstock.domain.acl import endpoint_level, new_acl, require_manage, require_view
from penstock.domain.catalog import check_tag
from penstock.domain.endpoint import Config, Endpoint, Outcome, check_changeable, check_endpoint_name
from penstock.domain.errors import AlreadyExists, Conflict, DoesNotExist, InvalidParameter, PenstockError
from penstock.domain.foundation import Signs
from penstock.domain.placement import known_specs
from penstock.domain.replica import Replica
from penstock.domain.status import placed
from penstock.domain.steps import Adapted
from penstock.ports.clock import Clock
from penstock.ports.store import Store, Unit

DESCRIPTION_LIMIT = 1000
MAX_TAGS = 100


class Endpoints:
    """Serving endpoints. `hint` wakes the reconciler for an endpoint's id, and `settle` lets it take a step now.

    `withdraw` ends that requests to an endpoint begin. `everybody` is what the group `users` may do with endpoints made
    from now on. `signs` say why one of the system's is not there, and `adapted` tells of replicas' adapters, by id.
    """

    def __init__(
        self,
        store: Store,
        configurations: Configurations,
        clock: Clock,
        *,
        hint: Callable[[str], None],
        settle: Callable[[str], Awaitable[object]],
        withdraw: Callable[[str], None],
        new_id: Callable[[], str],
        bounds: EndpointBounds,
        notices: Notices,
        everybody: PermissionLevel | None = None,
        signs: Signs | None = None,
        adapted: Callable[[str], Adapted] = lambda _: Adapted(),
    ) -> None:
        self._adapted = adapted
        self._signs = signs or Signs()
        self._everybody = everybody
        self._store = store
        self._configurations = configurations
        self._clock = clock
        self._hint = hint
        self._settle = settle
        self._withdraw = withdraw
        self._new_id = new_id
        self._bounds = bounds
        self._notices = notices

    async def create(self, caller: Caller, wish: EndpointWish) -> EndpointView:
        """Adds an endpoint and returns it as it is at once.

        Raises InvalidParameter naming the field and the rule, AlreadyExists if the name is taken, DoesNotExist if a
        model or version is unknown, QuotaExceeded if there are as many as there may be, Overloaded if too many changes
        were made.
        """
        check_endpoint_name(wish.name)
        if len(wish.description) > DESCRIPTION_LIMIT:
            raise InvalidParameter(
                f"description must be at most {DESCRIPTION_LIMIT} characters, but has {len(wish.description)}."
            )
        tags = merged((), wish.tags, ())
        async with self._store.unit() as unit:
            if await unit.endpoints.by_name(wish.name):
                raise AlreadyExists(f"Serving endpoint with name '{wish.name}' already exists.")
            self._bounds.check_count(len(await unit.endpoints.list()))
        self._bounds.take()
        if wish.fallback:
            _check_fallback(bool(wish.config and wish.config.externals))
        config = None
        if wish.config is not None:
            config = await self._configurations.make(caller, wish.config, version=1)
        now = self._clock.now_ms()
        endpoint = Endpoint(
            id=self._new_id(),
            name=wish.name,
            creator=caller.principal.name,
            created_at=now,
            updated_at=now,
            description=wish.description,
            route_optimized=wish.route_optimized,
            tags=tags,
            active=None,
            latest=config,
            fallback=wish.fallback,
            limits=wish.limits,
            limits_legacy=wish.limits_legacy,
            acl=new_acl(caller.principal, USERS, self._everybody),
            notifications=wish.notifications,
            telemetry=wish.telemetry if config is not None and config.entities else None,
            usage_policy=wish.usage_policy,
        )
        async with self._uprooting(config), self._store.unit() as unit:
            await unit.endpoints.add(endpoint)
            await self._ready_at_once(unit, endpoint.id, config)
            made = await self._of_name(unit, wish.name)
        self._tell(made)
        await self._wake(made)
        return view(made, (), PermissionLevel.CAN_MANAGE)

    async def update(self, caller: Caller, name: str, wish: ConfigWish) -> EndpointView:
        """Wants another configuration; the old one serves until it is ready.

        Raises Conflict while another update is in progress, and what `create` raises.
        """
        endpoint = await self._managed(caller, name)
        self._check_idle(endpoint)
        self._bounds.take()
        before, known = endpoint.current, _version(endpoint)
        made = await self._configurations.after(caller, before, wish)
        await self._configurations.check_creator(endpoint.creator, made)
        async with self._uprooting(made, before), self._store.unit() as unit:
            endpoint = await self._of_name(unit, name)
            self._check_idle(endpoint)
            if _version(endpoint) != known:
                raise Conflict(f"Endpoint '{name}' was updated by somebody else at the same time.")
            now = self._clock.now_ms()
            wanted = replace(made, version=known + 1, started_at=now)
            await unit.endpoints.want(endpoint.id, wanted, now)
            await self._ready_at_once(unit, endpoint.id, wanted)
            endpoint = await self._of_name(unit, name)
            replicas = await _replicas(unit, endpoint)
        self._tell(endpoint)
        await self._wake(endpoint)
        await self._configurations.discard(before, made)
        return self._view(endpoint, replicas, PermissionLevel.CAN_MANAGE)

    async def cancel(self, caller: Caller, name: str) -> EndpointView:
        """Asks that the update in progress be given up; raises Conflict if there is none."""
        endpoint = await self._managed(caller, name)
        if endpoint.pending is None:
            raise Conflict(f"Endpoint '{name}' is not being updated: there is nothing to cancel.")
        async with self._store.unit() as unit:
            await unit.endpoints.request_cancel(endpoint.id, endpoint.pending.version)
            endpoint = await self._of_name(unit, name)
            replicas = await _replicas(unit, endpoint)
        self._hint(endpoint.id)
        return self._view(endpoint, replicas, PermissionLevel.CAN_MANAGE)

    async def delete(self, caller: Caller, name: str) -> None:
        """Frees the name at once, and no request to it begins any more; replicas end soon."""
        endpoint = await self._managed(caller, name)
        async with self._store.unit() as unit:
            await unit.endpoints.mark_deleted(endpoint.id, self._clock.now_ms())
        self._withdraw(endpoint.id)
        await self._wake(endpoint)
        await self._configurations.discard(endpoint.active)

    async def get(self, caller: Caller, name: str) -> EndpointView:
        """One endpoint as it is; raises DoesNotExist, or PermissionDenied if the caller may not see it."""
        async with self._store.unit() as unit:
            endpoint = await self._of_name(unit, name)
            replicas = await _replicas(unit, endpoint)
        level = require_view(caller, endpoint.acl, name)
        return self._view(endpoint, replicas, level)

    async def list(self, caller: Caller) -> Sequence[EndpointView]:
        """All endpoints that the caller may see, those of the system first, then by name; without their replicas."""
        async with self._store.unit() as unit:
            found = await unit.endpoints.list()
        endpoints = sorted(found, key=lambda endpoint: not endpoint.is_system)
        levels = [(endpoint, endpoint_level(caller, endpoint.acl)) for endpoint in endpoints]
        return [view(endpoint, (), level) for endpoint, level in levels if level is not None]

    async def patch_tags(
        self, caller: Caller, name: str, add: Sequence[tuple[str, str]], delete: Sequence[str]
    ) -> Sequence[tuple[str, str]]:
        """Adds or changes tags, removes others, and returns all that there are."""
        await self._managed(caller, name)
        async with self._store.unit() as unit:
            endpoint = await self._of_name(unit, name)
            tags = merged(endpoint.tags, add, delete)
            await unit.endpoints.set_tags(endpoint.id, tags)
        return tags

    async def set_fallback(self, caller: Caller, name: str, *, fallback: bool) -> bool:
        """Sets whether external models stand in for each other, from the next request on; returns what is set."""
        endpoint = await self._managed(caller, name, changing=False)
        if fallback:
            _check_fallback(bool(endpoint.active and endpoint.active.externals))
        async with self._store.unit() as unit:
            await unit.endpoints.set_fallback(endpoint.id, fallback=fallback)
        await self._wake(endpoint)
        return fallback

    def _view(self, endpoint: Endpoint, replicas: Sequence[Replica], level: PermissionLevel) -> EndpointView:
        return view(endpoint, replicas, level, {one.id: self._adapted(one.id) for one in replicas})

    async def _managed(self, caller: Caller, name: str, *, changing: bool = True) -> Endpoint:
        async with self._store.unit() as unit:
            endpoint = await self._of_name(unit, name)
        require_manage(caller, endpoint.acl, name)
        if changing:
            check_changeable(endpoint)
        return endpoint

    async def _of_name(self, unit: Unit, name: str) -> Endpoint:
        endpoint = await unit.endpoints.by_name(name)
        if endpoint is None:
            raise DoesNotExist(self._signs.missing(name) or f"Endpoint with name '{name}' does not exist.")
        return endpoint

    def _check_idle(self, endpoint: Endpoint) -> None:
        if endpoint.pending is not None:
            raise Conflict(
                f"Endpoint '{endpoint.name}' is being updated to config version {endpoint.pending.version}; "
                "wait until that has ended, or cancel it."
            )

    async def _wake(self, endpoint: Endpoint) -> None:
        """The reconciler takes it up; what needs nothing started is served when this returns."""
        self._hint(endpoint.id)
        if endpoint.active is not None and endpoint.active.externals:
            with suppress(PenstockError):  # the reconciler's own loop takes that step again
                await self._settle(endpoint.id)

    def _tell(self, endpoint: Endpoint) -> None:
        """Who is to know of updates hears of one that has ended already."""
        if endpoint.latest is not None and endpoint.pending is None:
            self._notices.hear(endpoint, endpoint.latest, endpoint.latest.outcome, endpoint.latest.message)

    async def _ready_at_once(self, unit: Unit, endpoint_id: str, config: Config | None) -> None:
        """External models wait for nothing."""
        if config is not None and config.externals:
            await unit.endpoints.end(endpoint_id, config.version, Outcome.ACTIVE, "", self._clock.now_ms())

    @asynccontextmanager
    async def _uprooting(self, made: Config | None, before: Config | None = None) -> AsyncIterator[None]:
        """What was planted for a configuration that comes to nothing is removed."""
        try:
            yield
        except BaseException:
            await self._configurations.discard(made, before)
            raise


def _check_fallback(external: bool) -> None:
    if not external:
        raise InvalidParameter("ai_gateway.fallback_config is for endpoints with external models.")


def _version(endpoint: Endpoint) -> int:
    return endpoint.latest.version if endpoint.latest else 0


async def _replicas(unit: Unit, endpoint: Endpoint) -> Sequence[Replica]:
    """The replicas that the endpoint is served by, or was."""
    return placed(await unit.replicas.of(known_specs(endpoint)), await unit.places.of(endpoint.id))


def merged(
    before: Sequence[tuple[str, str]], add: Sequence[tuple[str, str]], delete: Sequence[str]
) -> tuple[tuple[str, str], ...]:
    """Tags after a change, in the order they came; raises InvalidParameter for a bad tag or too many."""
    tags = {key: value for key, value in before if key not in set(delete)}
    tags.update(check_tag(key, value) for key, value in add)
    if len(tags) > MAX_TAGS:
        raise InvalidParameter(f"An endpoint has at most {MAX_TAGS} tags, but would have {len(tags)}.")
    return tuple(tags.items())
