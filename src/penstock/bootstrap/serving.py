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
from penstock.control.credentials import new_id
from penstock.control.endpoint_logs import EndpointLogs
from penstock.control.endpoints import Endpoints
from penstock.control.loop import Loop
from penstock.control.offers import Offers
from penstock.control.optimization import Optimization
from penstock.control.profiler import Profiler
from penstock.control.profiles import Profiles
from penstock.control.reconciler import Reconciler
from penstock.control.scaling_history import ScalingDecisions
from penstock.control.watch import Watch
from penstock.domain.steps import Limits
from penstock.gateway.table import Table
from penstock.settings import Settings
from penstock.web.databricks.serving_endpoints import Serving


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
    stack: AsyncExitStack,
) -> tuple[Serving, Reconciler, Loop]:
    """The use cases of endpoints, the reconciler, which has recovered, and the loop that measures."""
    clock = SystemClock()
    folder = settings.data_dir.absolute() / "engines"
    folders = Folders(cache=folder / "cache", logs=folder / "logs")
    folders.cache.mkdir(parents=True, exist_ok=True)
    recipe = CpuRecipe(max_queue=settings.gateway.replica_max_queue)
    client = HttpEngineClient()
    offers = Offers(store, cluster, recipe, _gauge(folder, cluster, recipe))
    profiler = Profiler(store, client, cluster, clock, budget_s=settings.serving.profile_budget_s)
    measuring = Loop("profiler", profiler.step, clock, period_s=60)
    profiler.on_request(measuring.hint)
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
    reconciler = Reconciler(
        store=store,
        cluster=cluster,
        table=table,
        offers=offers,
        acts=acts,
        watch=watch,
        clock=clock,
        limits=Limits(settings.serving.deploy_timeout_s, settings.serving.scale_to_zero_idle_s),
    )
    await reconciler.recover()
    stack.push_async_callback(reconciler.close)
    endpoints = Endpoints(store, offers, clock, hint=reconciler.hint, new_id=new_id)
    logs = EndpointLogs(store, cluster, folders.logs)
    serving = Serving(
        endpoints, logs, Optimization(store, offers), ScalingDecisions(store), Profiles(store, offers, profiler)
    )
    return serving, reconciler, measuring
