"""Configurations of endpoints, made from what is asked for and checked against every rule that can be checked now."""

from collections.abc import Mapping
from dataclasses import replace

from penstock.control.bases import is_adapter
from penstock.control.endpoint_wishes import ConfigWish, EntityWish
from penstock.control.external_models import ExternalModels
from penstock.control.grants import require_model
from penstock.control.offers import Appraisal, Offers
from penstock.control.rooms import ranks_of
from penstock.domain.access import Caller, Principal
from penstock.domain.adapter import served_task
from penstock.domain.catalog import ModelVersion, check_number
from penstock.domain.endpoint import Config, Outcome, check_count, check_entities
from penstock.domain.errors import DoesNotExist, InvalidParameter
from penstock.domain.grant import Privilege
from penstock.domain.model import Task
from penstock.domain.names import ModelName, fold
from penstock.domain.packing import place
from penstock.domain.placement import Need, chunk_count, need, specs
from penstock.domain.served_entity import ServedEntity, check_band, check_name, default_name
from penstock.domain.sizing import Sizing, check_sizing
from penstock.domain.traffic import complete
from penstock.ports.clock import Clock
from penstock.ports.store import Store, Unit


class Configurations:
    """Makes configurations that may be wanted."""

    def __init__(
        self,
        store: Store,
        offers: Offers,
        externals: ExternalModels,
        clock: Clock,
        undeployable: Mapping[str, str] | None = None,
    ) -> None:
        """`undeployable` says of full names of models why they are not served."""
        self._undeployable = undeployable or {}
        self._store = store
        self._offers = offers
        self._externals = externals
        self._clock = clock

    async def after(self, caller: Caller, before: Config | None, wish: ConfigWish) -> Config:
        """The configuration of an update; it keeps the served entities of the one `before` it if it names none.

        Raises InvalidParameter also if the first external model would be added, or the last one removed.
        """
        if before is not None and before.externals and wish.entities is not None:
            raise InvalidParameter("External models of an endpoint cannot be replaced by models that are served here.")
        if before is not None and before.entities and wish.externals:
            raise InvalidParameter("An external model cannot be added to an endpoint that serves models here.")
        if wish.entities is not None or wish.externals:
            return await self.make(caller, wish, version=0)
        if before is None or not wish.routes:
            raise InvalidParameter("served_entities is required: a configuration without any serves nothing.")
        if before.externals:
            routes, name = complete(wish.routes, before.names), caller.principal.name
            return Config(0, (), routes, before.task, name, self._clock.now_ms(), externals=before.externals)
        again = tuple(_again(entity) for entity in before.entities)
        return await self.make(caller, ConfigWish(again, wish.routes), version=0)

    async def check_creator(self, creator: str, config: Config) -> None:
        """Raises PermissionDenied if the endpoint's creator, who may be gone, may no longer serve one of the models."""
        async with self._store.unit() as unit:
            principal = await unit.access.principal_named(creator)
            if principal is None:
                return
            for entity in config.entities:
                for name in (entity.entity_name, entity.runs[0]):
                    await require_model(unit, principal, ModelName.parse(name), Privilege.EXECUTE)

    async def discard(self, config: Config | None, kept: Config | None = None) -> None:
        """Forgets secrets that were planted for a configuration, but for those of the one that is `kept`."""
        await self._externals.uproot(config, kept)

    async def make(self, caller: Caller, wish: ConfigWish, *, version: int) -> Config:
        """A configuration that may be wanted, checked against every rule that can be checked now."""
        if wish.externals:
            return await self._external(caller, wish, version)
        check_count(len(wish.entities or ()))
        entities = tuple(_entity(one) for one in wish.entities or ())
        check_entities([entity.name for entity in entities])
        complete_routes = complete(wish.routes, [entity.name for entity in entities])
        for entity in entities:
            reason = self._undeployable.get(fold(entity.entity_name))
            if reason is not None:
                raise InvalidParameter(f"Served entity '{entity.name}': {reason}")
        async with self._store.unit() as unit:
            for entity in entities:
                await require_model(unit, caller.principal, ModelName.parse(entity.entity_name), Privilege.EXECUTE)
            found = [await self._based(unit, entity, caller.principal) for entity in entities]
        entities, tasks = tuple(entity for entity, _ in found), [task for _, task in found]
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
        async with self._store.unit() as unit:
            adapters = await ranks_of(unit, config)
        appraisals = await self._offers.of_entities(entities, adapters)
        for entity in entities:
            if entity.spec in appraisals and (why := appraisals[entity.spec].offer.problem):
                raise InvalidParameter(f"Served entity '{entity.name}': {why}")
        sizes = {spec: appraisal.offer.chunks.chunk for spec, appraisal in appraisals.items()}
        known = tuple(_sized(one, sizes[one.spec]) if one.spec in sizes else one for one in entities)
        config = replace(config, entities=known)
        await self._check_possible(config, appraisals)
        return config

    async def _external(self, caller: Caller, wish: ConfigWish, version: int) -> Config:
        """A configuration of external models, with their secrets planted."""
        check_count(len(wish.externals))
        externals = await self._externals.entities(caller.principal, wish.externals)
        routes = complete(wish.routes, [one.name for one in externals])
        name, now, task = caller.principal.name, self._clock.now_ms(), externals[0].model.task
        config = Config(version, (), routes, task, name, now, externals=externals)
        return await self._externals.plant(config, caller.principal)

    async def _based(self, unit: Unit, entity: ServedEntity, principal: Principal) -> tuple[ServedEntity, Task]:
        """With the base of an adapter, and the task that it is served for."""
        version = await _version(unit, entity)
        try:
            base = await self._offers.bases.of(unit, version, principal)
            task = served_task(version, base)
        except InvalidParameter as error:
            raise InvalidParameter(f"Served entity '{entity.name}': {error.message}") from error
        entity = self._offers.normal(entity, base)
        return (replace(entity, base=(base.model, str(base.number))) if is_adapter(version) else entity), task

    async def _check_possible(self, config: Config, appraisals: Mapping[str, Appraisal]) -> None:
        """Raises InvalidParameter if the configuration would not fit on empty devices, as far as was measured."""
        asked = [_alone(config, spec, appraisals[spec]) for spec in specs(config) if spec in appraisals]
        names = ", ".join(entity.name for entity in config.entities)
        for missing in place(names, asked, await self._offers.devices(), ()).missing.values():
            chunks = ", ".join(f"{one.offer.chunks.chunk} for {one.version.label}" for one in appraisals.values())
            raise InvalidParameter(f"{missing} Throughput is sold in chunks of tokens/s: {chunks}.")


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
        workload_size=entity.workload_size,
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
        workload_size=wish.workload_size,
    )


def _sized(entity: ServedEntity, chunk: int) -> ServedEntity:
    """With throughputs by the size of a chunk as it is known now."""
    minimum, maximum = entity.band(chunk)
    return replace(entity, min_provisioned_throughput=minimum, max_provisioned_throughput=maximum)


async def _version(unit: Unit, entity: ServedEntity) -> ModelVersion:
    version = await unit.catalog.version(entity.entity_name, int(entity.entity_version))
    if version is not None:
        return version
    if await unit.catalog.model(ModelName.parse(entity.entity_name)) is None:
        raise DoesNotExist(f"Registered model '{entity.entity_name}' does not exist.")
    raise DoesNotExist(f"Version {entity.entity_version} of model '{entity.entity_name}' does not exist.")
