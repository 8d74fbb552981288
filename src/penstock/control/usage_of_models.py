"""Which endpoints need a model."""

from penstock.domain.endpoint import Endpoint
from penstock.domain.names import fold
from penstock.domain.served_entity import ServedEntity
from penstock.ports.store import Unit


async def endpoints_using(unit: Unit, model: str, number: int | None = None) -> list[str]:
    """The names of endpoints that serve a version of the model or that version, or an adapter of it, or will soon."""
    endpoints = await unit.endpoints.list()
    return [
        endpoint.name for endpoint in endpoints if any(_is(entity, model, number) for entity in _entities(endpoint))
    ]


def _entities(endpoint: Endpoint) -> list[ServedEntity]:
    configs = (endpoint.active, endpoint.pending)
    return [entity for config in configs if config is not None for entity in config.entities]


def _is(entity: ServedEntity, model: str, number: int | None) -> bool:
    needed = ((entity.entity_name, entity.entity_version), entity.runs)
    return any(fold(name) == model and number in {None, int(version)} for name, version in needed)
