"""Use cases of serving endpoints: they check what is asked, write what is wanted, and wake the reconciler."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from penstock.control.endpoint_views import EndpointView, view
from penstock.control.offers import Appraisal, Offers, problem
from penstock.domain.access import Caller, PermissionLevel, endpoint_level, require_manage, require_view
from penstock.domain.catalog import ModelVersion, check_number, check_tag
from penstock.domain.endpoint import MAX_ENTITIES, Config, Endpoint, Outcome, check_endpoint_name, check_entities
from penstock.domain.errors import AlreadyExists, Conflict, DoesNotExist, InvalidParameter
from penstock.domain.model import Precision, Task
from penstock.domain.names import ModelName
from penstock.domain.packing import place
from penstock.domain.placement import Need, chunk_count, known_specs, need, specs
from penstock.domain.replica import Replica
from penstock.domain.served_entity import ServedEntity, check_band, check_name, default_name
from penstock.domain.sizing import Sizing, check_sizing
from penstock.domain.status import placed
from penstock.domain.traffic import Route, complete
from penstock.ports.clock import Clock
from penstock.ports.store import Store, Unit

DESCRIPTION_LIMIT = 1000
MAX_TAGS = 100


@dataclass(frozen=True, slots=True)
class EntityWish:
    """A served entity as asked for. Without a `name` it gets one; what is None was not said.

    `minimum` and `maximum` are tokens per second; concurrencies and `model_units` are other ways to say the same.
    """

    entity_name: str
    entity_version: str
    name: str | None = None
    minimum: int | None = None
    maximum: int | None = None
    scale_to_zero: bool | None = None
    precision: Precision | None = None
    min_concurrency: int | None = None
    max_concurrency: int | None = None
    model_units: int | None = None
    burst: bool | None = None

    @property
    def sizing(self) -> Sizing:
        """The size as asked for."""
        return Sizing(self.minimum, self.maximum, self.min_concurrency, self.max_concurrency, self.model_units)


@dataclass(frozen=True, slots=True)
class ConfigWish:
    """A configuration as asked for. `entities` is None where an update keeps those that are served."""

    entities: tuple[EntityWish, ...] | None
    routes: tuple[Route, ...] = ()


@dataclass(frozen=True, slots=True)
class EndpointWish:
    """An endpoint as asked for; without `config` it serves nothing yet."""

    name: str
    config: ConfigWish | None = None
    description: str = ""
    route_optimized: bool = False
    tags: tuple[tuple[str, str], ...] = ()


class Endpoints:
    """Serving endpoints. `hint` wakes the reconciler for an endpoint's id."""

    def __init__(
        self, store: Store, offers: Offers, clock: Clock, *, hint: Callable[[str], None], new_id: Callable[[], str]
    ) -> None:
        self._store = store
        self._offers = offers
        self._clock = clock
        self._hint = hint
        self._new_id = new_id

    async def create(self, caller: Caller, wish: EndpointWish) -> EndpointView:
        """Adds an endpoint and returns it as it is at once.

        Raises InvalidParameter naming the field and the rule, AlreadyExists if the name is taken, DoesNotExist if a
        model or version is unknown.
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
        config = None
        if wish.config is not None:
            config = await self._config(caller, wish.config.entities or (), wish.config.routes, version=1)
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
        )
        async with self._store.unit() as unit:
            await unit.endpoints.add(endpoint)
        self._hint(endpoint.id)
        return view(endpoint, (), PermissionLevel.CAN_MANAGE)

    async def update(self, caller: Caller, name: str, wish: ConfigWish) -> EndpointView:
        """Wants another configuration; the old one serves until it is ready.

        Raises Conflict while another update is in progress, and what `create` raises.
        """
        endpoint = await self._managed(caller, name)
        self._check_idle(endpoint)
        if wish.entities is None:
            entities = (endpoint.active or endpoint.latest or _EMPTY).entities
            if not entities or not wish.routes:
                raise InvalidParameter("served_entities is required: a configuration without any serves nothing.")
            wishes = tuple(_again(entity) for entity in entities)
        else:
            wishes = wish.entities
        made = await self._config(caller, wishes, wish.routes, version=0)
        async with self._store.unit() as unit:
            endpoint = await self._of_name(unit, name)
            self._check_idle(endpoint)
            version = endpoint.latest.version + 1 if endpoint.latest else 1
            now = self._clock.now_ms()
            await unit.endpoints.want(endpoint.id, replace(made, version=version, started_at=now), now)
            endpoint = await self._of_name(unit, name)
            replicas = await _replicas(unit, endpoint)
        self._hint(endpoint.id)
        return view(endpoint, replicas, PermissionLevel.CAN_MANAGE)

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
        return view(endpoint, replicas, PermissionLevel.CAN_MANAGE)

    async def delete(self, caller: Caller, name: str) -> None:
        """Frees the name at once; replicas end soon."""
        endpoint = await self._managed(caller, name)
        async with self._store.unit() as unit:
            await unit.endpoints.mark_deleted(endpoint.id, self._clock.now_ms())
        self._hint(endpoint.id)

    async def get(self, caller: Caller, name: str) -> EndpointView:
        """One endpoint as it is; raises DoesNotExist, or PermissionDenied if the caller may not see it."""
        async with self._store.unit() as unit:
            endpoint = await self._of_name(unit, name)
            replicas = await _replicas(unit, endpoint)
        level = require_view(caller, endpoint.creator, name)
        return view(endpoint, replicas, level)

    async def list(self, caller: Caller) -> Sequence[EndpointView]:
        """All endpoints that the caller may see, by name; without their replicas."""
        async with self._store.unit() as unit:
            endpoints = await unit.endpoints.list()
        levels = [(endpoint, endpoint_level(caller, endpoint.creator)) for endpoint in endpoints]
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

    async def _managed(self, caller: Caller, name: str) -> Endpoint:
        async with self._store.unit() as unit:
            endpoint = await self._of_name(unit, name)
        require_manage(caller, endpoint.creator, name)
        return endpoint

    async def _of_name(self, unit: Unit, name: str) -> Endpoint:
        endpoint = await unit.endpoints.by_name(name)
        if endpoint is None:
            raise DoesNotExist(f"Endpoint with name '{name}' does not exist.")
        return endpoint

    def _check_idle(self, endpoint: Endpoint) -> None:
        if endpoint.pending is not None:
            raise Conflict(
                f"Endpoint '{endpoint.name}' is being updated to config version {endpoint.pending.version}; "
                "wait until that has ended, or cancel it."
            )

    async def _config(
        self, caller: Caller, wishes: Sequence[EntityWish], routes: Sequence[Route], *, version: int
    ) -> Config:
        """A configuration that may be wanted, checked against every rule that can be checked now."""
        if not 1 <= len(wishes) <= MAX_ENTITIES:
            raise InvalidParameter(
                f"config.served_entities must hold 1 to {MAX_ENTITIES} entities, but holds {len(wishes)}."
            )
        entities = tuple(_entity(wish) for wish in wishes)
        check_entities(entities)
        complete_routes = complete(routes, [entity.name for entity in entities])
        async with self._store.unit() as unit:
            tasks = [_task(entity, await _version(unit, entity)) for entity in entities]
        if len(set(tasks)) > 1:
            listed = ", ".join(f"'{entity.name}' {task}" for entity, task in zip(entities, tasks, strict=True))
            raise InvalidParameter(f"All served entities of an endpoint must have the same task, but {listed}.")
        config = Config(
            version=version,
            entities=entities,
            routes=complete_routes,
            task=tasks[0],
            creator=caller.principal.name,
            started_at=self._clock.now_ms(),
            outcome=Outcome.PENDING,
        )
        appraisals = await self._offers.of_entities(entities)
        sizes = {spec: appraisal.offer.chunks.chunk for spec, appraisal in appraisals.items()}
        known = tuple(_sized(one, sizes[one.spec]) if one.spec in sizes else one for one in entities)
        config = replace(config, entities=known)
        await self._check_possible(config, appraisals)
        return config

    async def _check_possible(self, config: Config, appraisals: Mapping[str, Appraisal]) -> None:
        """Raises InvalidParameter if the configuration would not fit on empty devices, as far as was measured."""
        asked = [_alone(config, spec, appraisals[spec]) for spec in specs(config) if spec in appraisals]
        names = ", ".join(entity.name for entity in config.entities)
        for missing in place(names, asked, await self._offers.devices(), ()).missing.values():
            chunks = ", ".join(f"{one.offer.chunks.chunk} for {one.version.label}" for one in appraisals.values())
            raise InvalidParameter(f"{missing} Throughput is sold in chunks of tokens/s: {chunks}.")


_EMPTY = Config(0, (), (), None, "", 0)


def _alone(config: Config, spec: str, appraisal: Appraisal) -> Need:
    """What a spec takes by itself; a share that is only estimated does not count."""
    offer = replace(appraisal.offer, spec=spec)
    return need(offer, appraisal.version.label, 0 if offer.estimated else chunk_count(config, spec, offer.chunks))


def _again(entity: ServedEntity) -> EntityWish:
    size = entity.sizing or Sizing(entity.min_provisioned_throughput, entity.max_provisioned_throughput)
    return EntityWish(
        entity_name=entity.entity_name,
        entity_version=entity.entity_version,
        name=entity.name,
        minimum=size.min_throughput,
        maximum=size.max_throughput,
        scale_to_zero=entity.scale_to_zero_enabled,
        precision=entity.precision,
        min_concurrency=size.min_concurrency,
        max_concurrency=size.max_concurrency,
        model_units=size.model_units,
        burst=entity.burst_scaling_enabled,
    )


def _entity(wish: EntityWish) -> ServedEntity:
    """As asked for; throughputs of one that counts chunks are 0 until their size is known."""
    model = str(ModelName.parse(wish.entity_name, "entity_name"))
    number = str(check_number(wish.entity_version, "entity_version"))
    name = check_name(default_name(model, number) if wish.name is None else wish.name, "name of a served entity")
    sizing = check_sizing(wish.sizing, name)
    minimum, maximum = wish.minimum or 0, wish.maximum or 0
    if not sizing.in_chunks:
        check_band(minimum, maximum, name)
    return ServedEntity(
        name=name,
        entity_name=model,
        entity_version=number,
        min_provisioned_throughput=minimum,
        max_provisioned_throughput=maximum,
        scale_to_zero_enabled=wish.scale_to_zero,
        precision=wish.precision,
        sizing=sizing if sizing.in_chunks else None,
        burst_scaling_enabled=wish.burst,
    )


def _sized(entity: ServedEntity, chunk: int) -> ServedEntity:
    """With throughputs by the size of a chunk as it is known now."""
    minimum, maximum = entity.band(chunk)
    return replace(entity, min_provisioned_throughput=minimum, max_provisioned_throughput=maximum)


async def _replicas(unit: Unit, endpoint: Endpoint) -> Sequence[Replica]:
    """The replicas that the endpoint is served by, or was."""
    return placed(await unit.replicas.of(known_specs(endpoint)), await unit.places.of(endpoint.id))


async def _version(unit: Unit, entity: ServedEntity) -> ModelVersion:
    version = await unit.catalog.version(entity.entity_name, int(entity.entity_version))
    if version is not None:
        return version
    if await unit.catalog.model(ModelName.parse(entity.entity_name)) is None:
        raise DoesNotExist(f"Registered model '{entity.entity_name}' does not exist.")
    raise DoesNotExist(f"Version {entity.entity_version} of model '{entity.entity_name}' does not exist.")


def _task(entity: ServedEntity, version: ModelVersion) -> Task:
    why = problem(version)
    if why:
        raise InvalidParameter(f"Served entity '{entity.name}': {why}")
    assert version.facts is not None
    assert version.facts.task is not None
    return version.facts.task


def merged(
    before: Sequence[tuple[str, str]], add: Sequence[tuple[str, str]], delete: Sequence[str]
) -> tuple[tuple[str, str], ...]:
    """Tags after a change, in the order they came; raises InvalidParameter for a bad tag or too many."""
    tags = {key: value for key, value in before if key not in set(delete)}
    tags.update(check_tag(key, value) for key, value in add)
    if len(tags) > MAX_TAGS:
        raise InvalidParameter(f"An endpoint has at most {MAX_TAGS} tags, but would have {len(tags)}.")
    return tuple(tags.items())
