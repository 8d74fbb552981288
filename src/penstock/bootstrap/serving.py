"""Wires endpoints with their engines: the part of the server that starts and stops processes."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from penstock.adapters.artifacts.folder import FolderArtifacts
from penstock.adapters.engines.clients import EngineClients
from penstock.adapters.mail.smtp import Security, Server, SmtpMailer
from penstock.adapters.store.store import SqlStore
from penstock.bootstrap.engines import Engines
from penstock.control.acts import Acts, Folders
from penstock.control.adapting import Adapting
from penstock.control.carry_over import carry_over
from penstock.control.configurations import Configurations
from penstock.control.credentials import new_id
from penstock.control.endpoint_bounds import EndpointBounds
from penstock.control.endpoint_limits import EndpointLimits
from penstock.control.endpoint_logs import EndpointLogs
from penstock.control.endpoint_settings import EndpointSettings
from penstock.control.endpoints import Endpoints
from penstock.control.external_models import ExternalModels
from penstock.control.loop import Loop
from penstock.control.notices import Notices
from penstock.control.offers import Offers
from penstock.control.optimization import Optimization
from penstock.control.profiler import Profiler
from penstock.control.profiles import Profiles
from penstock.control.quiet import Quiet
from penstock.control.reconciler import Reconciler
from penstock.control.remeasuring import Remeasuring
from penstock.control.rooms import recall
from penstock.control.scaling_history import ScalingDecisions
from penstock.control.temporary import TemporaryEngines
from penstock.control.usual_precision import settle_precisions
from penstock.control.watch import Watch, log_folder
from penstock.domain.access import PermissionLevel
from penstock.domain.foundation import Foundation
from penstock.domain.steps import Limits
from penstock.gateway.gate import Gate
from penstock.gateway.table import Table
from penstock.ports.clock import Clock
from penstock.ports.cluster import Cluster
from penstock.ports.engine import EngineRecipe
from penstock.settings import Settings
from penstock.web.databricks.serving_endpoints import Serving

MAIL_S = 15.0
"""How often letters are looked for that are to be sent again."""
REMEASURE_S = 2.0
"""How often it is looked for what is to be measured again."""


@dataclass(frozen=True, slots=True)
class _Ground:
    """What starting, watching and measuring engines have in common."""

    store: SqlStore
    artifacts: FolderArtifacts
    cluster: Cluster
    recipe: EngineRecipe
    client: EngineClients
    clock: Clock
    folders: Folders
    quiet: Quiet
    offers: Offers
    profiler: Profiler
    adapting: Adapting


async def make_serving(
    settings: Settings,
    store: SqlStore,
    artifacts: FolderArtifacts,
    engines: Engines,
    externals: ExternalModels,
    *,
    table: Table,
    gate: Gate,
    foundation: Foundation,
    clock: Clock,
    stack: AsyncExitStack,
) -> tuple[Serving, Reconciler, list[Loop]]:
    """The use cases of endpoints, the reconciler, which has recovered, and the loops that measure and sweep."""
    ground = _ground(settings, store, artifacts, engines, gate, foundation=foundation, clock=clock)
    offers, notices, signs = ground.offers, Notices(_mailer(settings), clock), foundation.signs()
    reconciler = await _recovered(settings, ground, table, notices, stack)
    stack.callback(notices.close)
    remeasuring = _remeasuring(settings, ground, reconciler, stack)
    endpoints = Endpoints(
        store,
        Configurations(store, offers, externals, clock, signs.undeployable),
        clock,
        hint=reconciler.hint,
        settle=reconciler.step,
        withdraw=reconciler.withdraw,
        new_id=new_id,
        bounds=EndpointBounds(clock, endpoints=settings.serving.max_endpoints, changes=settings.serving.max_changes),
        notices=notices,
        everybody=_everybody(settings),
        signs=signs,
        adapted=ground.adapting.of,
    )
    serving = Serving(
        endpoints,
        EndpointLogs(store, engines.cluster, ground.folders.logs),
        Optimization(store, offers),
        ScalingDecisions(store),
        Profiles(store, offers, ground.profiler, remeasuring),
        EndpointLimits(store, hint=reconciler.hint),
        EndpointSettings(store, endpoints, clock, hint=reconciler.hint, settle=reconciler.step),
    )
    measuring = Loop("profiler", ground.profiler.step, clock, period_s=60)
    ground.profiler.on_request(measuring.hint)
    again = Loop("measuring again", remeasuring.step, clock, period_s=REMEASURE_S)
    sweeping = Loop("replica sweep", reconciler.sweep, clock, period_s=settings.sweep.period_s)
    mailing = Loop("notifications", notices.step, clock, period_s=MAIL_S)
    notices.on_letter(mailing.hint)
    return serving, reconciler, [measuring, again, sweeping, mailing]


async def _recovered(
    settings: Settings, ground: _Ground, table: Table, notices: Notices, stack: AsyncExitStack
) -> Reconciler:
    """The reconciler, which has taken hold of what is stored."""
    reconciler = _reconciler(settings, ground, table, notices)
    await _settle(ground)
    await reconciler.recover()
    stack.push_async_callback(reconciler.close)
    return reconciler


async def _settle(ground: _Ground) -> None:
    """What is stored, brought to what this release of the server and its engine know of it."""
    for spec in await settle_precisions(ground.store, ground.offers):
        await ground.cluster.forget_logs(log_folder(ground.folders.logs, spec))
    await recall(ground.store, ground.offers.rooms)
    await carry_over(ground.store, ground.offers)


def _mailer(settings: Settings) -> SmtpMailer | None:
    given = settings.mail
    if not given.host:
        return None
    password = given.password.get_secret_value() if given.password else ""
    return SmtpMailer(
        Server(
            given.host,
            given.port,
            Security(given.security),
            given.sender,
            user=given.user,
            password=password,
            timeout_s=given.timeout_s,
        )
    )


def _everybody(settings: Settings) -> PermissionLevel | None:
    given = settings.access.new_endpoints
    return None if given == "NO_PERMISSIONS" else PermissionLevel(given)


def _ground(
    settings: Settings,
    store: SqlStore,
    artifacts: FolderArtifacts,
    engines: Engines,
    gate: Gate,
    *,
    foundation: Foundation,
    clock: Clock,
) -> _Ground:
    folder = settings.data_dir.absolute() / "engines"
    folders = Folders(cache=folder / "cache", logs=folder / "logs")
    folders.cache.mkdir(parents=True, exist_ok=True)
    cluster, client, quiet = engines.cluster, EngineClients(), Quiet(gate, clock)
    offers = Offers(store, cluster, engines.recipe, engines.gauge, foundation)
    adapting = Adapting(store, artifacts, client)
    profiler = Profiler(store, client, cluster, clock, quiet, budget_s=settings.serving.profile_budget_s)
    recipe = engines.recipe
    return _Ground(store, artifacts, cluster, recipe, client, clock, folders, quiet, offers, profiler, adapting)


def _reconciler(settings: Settings, ground: _Ground, table: Table, notices: Notices) -> Reconciler:
    watch = Watch(ground.cluster, ground.client, ground.profiler, ground.clock)
    acts = Acts(
        store=ground.store,
        artifacts=ground.artifacts,
        cluster=ground.cluster,
        recipe=ground.recipe,
        profiler=ground.profiler,
        watch=watch,
        adapting=ground.adapting,
        clock=ground.clock,
        folders=ground.folders,
        new_id=new_id,
        drain_s=settings.drain_s,
        notices=notices,
    )
    return Reconciler(
        store=ground.store,
        cluster=ground.cluster,
        table=table,
        offers=ground.offers,
        acts=acts,
        watch=watch,
        clock=ground.clock,
        limits=Limits(
            settings.serving.deploy_timeout_s,
            settings.serving.scale_to_zero_idle_s,
            history_s=settings.sweep.replica_history_s,
        ),
    )


def _remeasuring(settings: Settings, ground: _Ground, reconciler: Reconciler, stack: AsyncExitStack) -> Remeasuring:
    engines = TemporaryEngines(
        reconciler=reconciler,
        artifacts=ground.artifacts,
        cluster=ground.cluster,
        recipe=ground.recipe,
        client=ground.client,
        clock=ground.clock,
        folders=ground.folders,
        new_id=new_id,
        limit_s=settings.serving.deploy_timeout_s,
    )
    remeasuring = Remeasuring(
        store=ground.store,
        offers=ground.offers,
        profiler=ground.profiler,
        quiet=ground.quiet,
        engines=engines,
        clock=ground.clock,
        idle_s=settings.serving.profile_idle_s,
        room=lambda key: ground.adapting.of(key).room,
    )
    stack.push_async_callback(remeasuring.close)
    reconciler.making_room.measure = remeasuring.ahead
    return remeasuring
