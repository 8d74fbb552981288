"""Which stored configurations ask for the usual precision by its name: in a new release that may be another one."""

from collections.abc import Sequence
from dataclasses import replace

from penstock.control.offers import Offers
from penstock.domain.endpoint import Endpoint
from penstock.domain.served_entity import ServedEntity
from penstock.ports.store import Store, Unit


async def settle_precisions(store: Store, offers: Offers) -> Sequence[str]:
    """At start, while nothing runs: configurations share replicas with those that run the same, and with no others.

    Endpoints keep their places. Returns the specs that no configuration has any more.
    """
    async with store.unit() as unit:
        before = await unit.endpoints.specs()
        for endpoint in await unit.endpoints.list(deleted=True):
            await _settle(unit, offers, endpoint)
        gone = sorted(before - await unit.endpoints.specs())
        for spec in gone:
            await unit.replicas.forget(spec)
    return gone


async def _settle(unit: Unit, offers: Offers, endpoint: Endpoint) -> None:
    renamed: dict[str, str] = {}
    configs = {one.version: one for one in (endpoint.active, endpoint.latest, endpoint.stopped) if one is not None}
    for config in configs.values():
        settled = [await _normal(unit, offers, one) for one in config.entities]
        if tuple(settled) != config.entities:
            await unit.endpoints.set_entities(endpoint.id, config.version, settled)
            renamed |= {old.spec: new.spec for old, new in zip(config.entities, settled, strict=True)}
    if renamed:
        held = {(renamed.get(one.spec, one.spec), one.device): one for one in await unit.places.of(endpoint.id)}
        await unit.places.put(endpoint.id, [replace(one, spec=spec) for (spec, _), one in held.items()])


async def _normal(unit: Unit, offers: Offers, entity: ServedEntity) -> ServedEntity:
    name, number = entity.runs
    version = await unit.catalog.version(name, int(number))
    return entity if version is None else offers.normal(entity, version)
