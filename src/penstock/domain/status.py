"""How an endpoint stands, computed from stored facts: never stored itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from penstock.domain.endpoint import Config, Deployment, Endpoint, Outcome
from penstock.domain.placement import Claim, places
from penstock.domain.replica import Replica, ReplicaState
from penstock.domain.routing import EndpointRoute, EntityRoute, ReadyReplica
from penstock.domain.served_entity import ServedEntity
from penstock.domain.steps import Adapted
from penstock.domain.tenancy import Sale, Terms
from penstock.domain.throughput import SOLD_FRACTION, Chunks

STEADY_BURST = 0.25
"""Residence times that an endpoint without `burst_scaling_enabled` may use at once: half of what others may."""
_DOING = {
    ReplicaState.REQUESTED: "Waiting to be started.",
    ReplicaState.BUILDING: "Building: reading, converting and quantising the weights.",
    ReplicaState.LOADING: "Loading the model.",
    ReplicaState.MEASURING: "Measuring throughput.",
}
_NONE = Adapted()


@dataclass(frozen=True, slots=True)
class EntityStatus:
    """A served entity's deployment state, with a sentence for people (empty when all is well)."""

    deployment: Deployment
    message: str


@dataclass(frozen=True, slots=True)
class Slots:
    """How many requests a replica runs at once, and how many may wait in it; in what and on which terms it is sold.

    Another one takes `startup_s` seconds to start, 0 if that was not measured.
    """

    max_running: int
    max_queue: int
    chunks: Chunks | None = None
    terms: Terms | None = None
    startup_s: float = 0.0

    def sale(self, entity: ServedEntity) -> Sale | None:
        """What the served entity has bought, in whole chunks; None where nothing is sold."""
        if self.chunks is None or self.terms is None:
            return None
        chunk = self.chunks.chunk
        return Sale(
            model=entity.spec,
            terms=self.terms if entity.bursts else replace(self.terms, burst=STEADY_BURST),
            minimum=self.chunks.count(entity.band(chunk)[0]) * chunk,
            maximum=self.chunks.count(entity.band(chunk)[1]) * chunk,
            chunk=chunk,
            chunk_share=SOLD_FRACTION / self.chunks.slices,
        )


def entity_status(
    endpoint: Endpoint,
    config: Config,
    entity: ServedEntity,
    replicas: Sequence[Replica],
    adapted: Mapping[str, Adapted] | None = None,
) -> EntityStatus:
    """The state of a served entity of a configuration; `replicas` are those in the endpoint's places, oldest first.

    They may have run for other endpoints before: a failure counts from the moment when the configuration was wanted.
    `adapted` tells of the adapters of replicas, by id.
    """
    ended = _ended(endpoint, config)
    if ended is not None:
        return ended
    mine = [one for one in replicas if one.spec == entity.spec and one.state is not ReplicaState.DRAINING]
    live = [one for one in mine if not one.ended]
    last = next((one for one in reversed(mine) if one.ended), None)
    failed = last if last and last.state is ReplicaState.FAILED and last.changed_at >= config.started_at else None
    why = f"The last replica failed: {failed.message}" if failed else ""
    serving = [(adapted or {}).get(one.id, _NONE) for one in live if one.state is ReplicaState.READY]
    lacking = _lacking(entity, serving)
    if serving and not lacking:
        return EntityStatus(Deployment.READY, _news(endpoint, config))
    doing = lacking or ((live[-1].message or _DOING[live[-1].state]) if live else "")
    if config.outcome is Outcome.PENDING:
        return EntityStatus(Deployment.CREATING, _joined(doing or config.message or "Waiting to be started.", why))
    if entity.scales_to_zero and not (failed and live):
        return EntityStatus(Deployment.READY, _joined(doing or "Scaled to zero.", why, _news(endpoint, config)))
    return EntityStatus(Deployment.RECOVERING, _joined(doing or "A replica is about to be started.", why))


def _lacking(entity: ServedEntity, serving: Sequence[Adapted]) -> str:
    """What is still to be done where replicas serve already: the adapter is to come."""
    if not serving or not entity.adapter or any(entity.adapter in one.loaded for one in serving):
        return ""
    refusals = [one.refused[entity.adapter] for one in serving if entity.adapter in one.refused]
    if refusals:
        return f"The adapter cannot be loaded: {refusals[0]}"
    return "Loading the adapter." if any(one.room for one in serving) else "An engine with room for it is to come."


def external_status(endpoint: Endpoint, config: Config) -> EntityStatus:
    """The state of an external model: nothing has to be started for it."""
    return EntityStatus(Deployment.READY, _news(endpoint, config))


def _ended(endpoint: Endpoint, config: Config) -> EntityStatus | None:
    """The state that all served entities of a configuration have which is no longer wanted."""
    if config == endpoint.stopped:
        return EntityStatus(Deployment.ABORTED, _joined("The endpoint is stopped.", _news(endpoint, config)))
    if config.outcome is Outcome.FAILED:
        return EntityStatus(Deployment.FAILED, config.message)
    if config.outcome is Outcome.CANCELED:
        return EntityStatus(Deployment.ABORTED, config.message)
    return None


def _news(endpoint: Endpoint, config: Config) -> str:
    """What became of the latest update, where another configuration serves on."""
    latest = endpoint.latest
    if latest is None or latest.version == config.version or latest.outcome not in {Outcome.FAILED, Outcome.CANCELED}:
        return ""
    ended = "failed" if latest.outcome is Outcome.FAILED else "was cancelled"
    return f"The update to config version {latest.version} {ended}: {latest.message}"


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def placed(replicas: Sequence[Replica], claims: Sequence[Claim]) -> list[Replica]:
    """Those of the replicas that are where the claims want one."""
    there = places(claims)
    return [one for one in replicas if (one.spec, one.device) in there]


def route(
    endpoint: Endpoint,
    replicas: Sequence[Replica],
    slots: Mapping[str, Slots],
    claims: Sequence[Claim],
    stuck: Mapping[str, str] | None = None,
    *,
    adapted: Mapping[str, Adapted] | None = None,
) -> EndpointRoute:
    """What the data plane may know of the endpoint: its active configuration and ready replicas.

    `slots` are by spec, and `claims` what the endpoint holds of the devices: it is served by the replicas there.
    `stuck` tells by spec why no replica can be started now, and `adapted` of the adapters of replicas, by id.
    """
    active, limits = endpoint.active, endpoint.limits
    plain = EndpointRoute(
        endpoint.id, endpoint.name, endpoint.creator, endpoint.task, (), (), limits=limits, acl=endpoint.acl
    )
    if active is None:
        return replace(plain, problem=_problem(endpoint))
    ready = {(one.spec, one.device) for one in replicas if one.state is ReplicaState.READY}
    shares = _shares(active, slots, [claim for claim in claims if (claim.spec, claim.device) in ready])
    entities = tuple(
        EntityRoute(
            entity.name,
            tuple(
                ReadyReplica(
                    one.id,
                    one.address,
                    slots[one.spec].max_running,
                    slots[one.spec].max_queue,
                    one.device,
                    shares.get((entity.name, one.device), 0.0),
                )
                for one in placed(replicas, claims)
                if one.spec == entity.spec
                and one.state is ReplicaState.READY
                and one.spec in slots
                and (not entity.adapter or entity.adapter in (adapted or {}).get(one.id, _NONE).loaded)
            ),
            entity.scales_to_zero,
            slots[entity.spec].sale(entity) if entity.spec in slots else None,
            slots[entity.spec].startup_s if entity.spec in slots else 0.0,
            (stuck or {}).get(entity.spec, ""),
            adapter=entity.adapter,
        )
        for entity in active.entities
    )
    entities += tuple(EntityRoute(one.name, (), scales_to_zero=False, external=one) for one in active.externals)
    return replace(plain, routes=active.routes, entities=entities, fallback=endpoint.fallback)


def _shares(active: Config, slots: Mapping[str, Slots], claims: Sequence[Claim]) -> dict[tuple[str, str], float]:
    """The share of each device that is reserved for each served entity's minimum; `claims` are those with a replica.

    A spec's claim is its entities', in proportion to their minimums, and what a replica that is lost had of them is
    not added to the others. What is claimed for an update counts when its replica is ready.
    """
    sales = {one.name: (one.spec, slots[one.spec].sale(one)) for one in active.entities if one.spec in slots}
    least = {name: (spec, sale.share(sale.minimum)) for name, (spec, sale) in sales.items() if sale is not None}
    found: dict[tuple[str, str], float] = {}
    for name, (spec, share) in least.items():
        mine = [claim for claim in claims if claim.spec == spec]
        whole = max(sum(one for other, one in least.values() if other == spec), sum(claim.share for claim in mine))
        found |= {(name, claim.device): claim.share * share / whole for claim in mine if whole > 0}
    return found


def _problem(endpoint: Endpoint) -> str:
    """Why the endpoint serves nothing."""
    latest = endpoint.latest
    if latest is None:
        return f"Endpoint '{endpoint.name}' has no configuration yet."
    if latest.outcome is Outcome.PENDING:
        return f"Endpoint '{endpoint.name}' is not ready: its first deployment is in progress."
    if endpoint.suspended:
        return f"Endpoint '{endpoint.name}' is stopped; it serves again when it is started."
    ended = "failed" if latest.outcome is Outcome.FAILED else "was cancelled"
    return f"Endpoint '{endpoint.name}' is not ready: its deployment {ended}: {latest.message}"
