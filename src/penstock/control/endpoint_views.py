"""Endpoints as they are shown: stored facts with the states computed from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from penstock.domain.access import PermissionLevel
from penstock.domain.endpoint import Config, Endpoint
from penstock.domain.replica import Replica
from penstock.domain.status import EntityStatus, entity_status, external_status
from penstock.domain.steps import Adapted


@dataclass(frozen=True, slots=True)
class ConfigView:
    """A configuration with the state of each served entity, by name."""

    config: Config
    statuses: Mapping[str, EntityStatus]


@dataclass(frozen=True, slots=True)
class EndpointView:
    """An endpoint with the caller's level.

    `config` is what serves, or did before it was stopped, or else the last one that failed or was cancelled; `pending`
    is being rolled out.
    """

    endpoint: Endpoint
    level: PermissionLevel
    config: ConfigView | None
    pending: ConfigView | None


def view(
    endpoint: Endpoint,
    replicas: Sequence[Replica],
    level: PermissionLevel,
    adapted: Mapping[str, Adapted] | None = None,
) -> EndpointView:
    """The endpoint as shown to a caller; `replicas` are those in its places, oldest first, `adapted` their adapters."""
    shown = endpoint.active or (None if endpoint.pending else endpoint.current)
    return EndpointView(
        endpoint,
        level,
        _config(endpoint, shown, replicas, adapted),
        _config(endpoint, endpoint.pending, replicas, adapted),
    )


def _config(
    endpoint: Endpoint, config: Config | None, replicas: Sequence[Replica], adapted: Mapping[str, Adapted] | None
) -> ConfigView | None:
    if config is None:
        return None
    states = {entity.name: entity_status(endpoint, config, entity, replicas, adapted) for entity in config.entities}
    states |= {entity.name: external_status(endpoint, config) for entity in config.externals}
    return ConfigView(config, states)
