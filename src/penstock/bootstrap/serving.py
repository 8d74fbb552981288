"""Wires endpoints with their engines: the part of the server that starts and stops processes."""

from contextlib import AsyncExitStack
from pathlib import Path

from penstock.adapters.artifacts.folder import FolderArtifacts
from penstock.adapters.clock import SystemClock
from penstock.adapters.clusters.local import LocalCluster
from penstock.adapters.engines.client import HttpEngineClient
from penstock.adapters.engines.cpu import CpuRecipe
from penstock.adapters.engines.gauge import CpuGauge
from penstock.adapters.store.store import SqlStore
from penstock.control.acts import Acts, Folders
from penstock.control.carry_over import carry_over
from penstock.control.credentials import new_id
from penstock.control.endpoint_logs import EndpointLogs
from penstock.control.endpoints import Endpoints
from penstock.control.loop import Loop
from penstock.control.offers import Offers
from penstock.control.optimization import Optimization
from penstock.control.profiler import Profiler
from penstock.control.profiles import Profiles
from penstock.control.quiet import Quiet
from penstock.control.reconciler import Reconciler
from penstock.control.remeasuring import Remeasuring
from penstock.control.scaling_history import ScalingDecisions
from penstock.control.temporary import TemporaryEngines
from penstock.control.watch import Watch
from penstock.domain.steps import Limits
from penstock.gateway.gate import Gate
from penstock.gateway.table import Table
from penstock.settings import Settings
from penstock.web.databricks.serving_endpoints import Serving

REMEASURE_S = 2.0
"""How often it is looked for what is to be measured again."""


def make_cluster(settings: Settings, stack: AsyncExitStack) -> LocalCluster:
    """Where engines run, ended with us."""
    run = settings.data_dir.absolute() / "engines" / "run"
    serving = settings.serving
    cluster = LocalCluster(run, memory_fraction=serving.device_memory_fraction, devices=serving.devices)
    stack.push_async_callback(cluster.close)
    return cluster


def _gauge(folder: Path, cluster: LocalCluster, recipe: CpuRecipe) -> CpuGauge:
    return CpuGauge(folder / "speed.json", f"{cluster.device_class} {recipe.version}", cluster.cores)


async def make_serving(
    settings: Settings,
    store: SqlStore,
    artifacts: FolderArtifacts,
    cluster: LocalCluster,
    *,
    table: Table,
    gate: Gate,
    stack: AsyncExitStack,
) -> tuple[Serving, Reconciler, list[Loop]]:
    """The use cases of endpoints, the reconciler, which has recovered, and the loops that measure."""
    clock, given = SystemClock(), settings.serving
    folder = settings.data_dir.absolute() / "engines"
    folders = Folders(cache=folder / "cache", logs=folder / "logs")
    folders.cache.mkdir(parents=True, exist_ok=True)
    recipe = CpuRecipe(max_queue=settings.gateway.replica_max_queue)
    client, quiet = HttpEngineClient(), Quiet(gate, clock)
    offers = Offers(store, cluster, recipe, _gauge(folder, cluster, recipe))
    profiler = Profiler(store, client, cluster, clock, quiet, budget_s=given.profile_budget_s)
    watch = Watch(cluster, client, profiler, clock)
    acts = Acts(
        store=store,
        artifacts=artifacts,
        cluster=cluster,
        recipe=recipe,
        profiler=profiler,
        watch=watch,
        clock=clock,
        folders=folders,
        new_id=new_id,
        drain_s=settings.drain_s,
    )
    limits = Limits(given.deploy_timeout_s, given.scale_to_zero_idle_s)
    reconciler = Reconciler(
        store=store, cluster=cluster, table=table, offers=offers, acts=acts, watch=watch, clock=clock, limits=limits
    )
    await carry_over(store, offers)
    await reconciler.recover()
    stack.push_async_callback(reconciler.close)
    engines = TemporaryEngines(
        reconciler=reconciler,
        artifacts=artifacts,
        cluster=cluster,
        recipe=recipe,
        client=client,
        clock=clock,
        folders=folders,
        new_id=new_id,
        limit_s=given.deploy_timeout_s,
    )
    remeasuring = Remeasuring(store, offers, profiler, quiet, engines, clock, idle_s=given.profile_idle_s)
    stack.push_async_callback(remeasuring.close)
    endpoints = Endpoints(store, offers, clock, hint=reconciler.hint, new_id=new_id)
    serving = Serving(
        endpoints,
        EndpointLogs(store, cluster, folders.logs),
        Optimization(store, offers),
        ScalingDecisions(store),
        Profiles(store, offers, profiler, remeasuring),
    )
    return serving, reconciler, _loops(profiler, remeasuring, clock)


def _loops(profiler: Profiler, remeasuring: Remeasuring, clock: SystemClock) -> list[Loop]:
    measuring = Loop("profiler", profiler.step, clock, period_s=60)
    profiler.on_request(measuring.hint)
    return [measuring, Loop("measuring again", remeasuring.step, clock, period_s=REMEASURE_S)]
