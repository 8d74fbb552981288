"""Wires the server together, once. Each section makes one part and says how it is undone, in reverse order, at the end.

The order of a stop: no new requests, running ones drain, loops, engines, what is buffered, the database.
"""

import asyncio
import contextlib
import random
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from penstock.adapters.artifacts.folder import FolderArtifacts
from penstock.adapters.clock import SystemClock
from penstock.adapters.engines.clients import EngineClients
from penstock.adapters.engines.relay import EngineRelay
from penstock.adapters.engines.vllm_relay import VllmRelay
from penstock.adapters.foundation.catalogue import load_foundation
from penstock.adapters.journal import FileJournal
from penstock.adapters.models.reader import FolderReader
from penstock.adapters.signing import HmacSigner
from penstock.adapters.store.store import SqlStore
from penstock.bootstrap.access import AccessParts, make_access
from penstock.bootstrap.batches import make_batches
from penstock.bootstrap.engines import make_engines
from penstock.bootstrap.external import make_external
from penstock.bootstrap.folder import claim_folder, open_store
from penstock.bootstrap.foundation import make_foundation
from penstock.bootstrap.limits import LimitParts, make_limits
from penstock.bootstrap.market import make_market
from penstock.bootstrap.serving import make_serving
from penstock.bootstrap.supervisor import running
from penstock.bootstrap.telemetry import Watching, make_metrics, make_watching
from penstock.bootstrap.tracking import make_tracking
from penstock.control.autoscaler import Autoscaler
from penstock.control.batches import Batches
from penstock.control.drift import DriftWatch
from penstock.control.external_models import ExternalModels
from penstock.control.files import Files
from penstock.control.files import Limits as FileLimits
from penstock.control.grants import CatalogGrants
from penstock.control.health import Health
from penstock.control.installation import Installation
from penstock.control.installs import Installs
from penstock.control.janitor import Janitor
from penstock.control.ledger import LedgerKeeper
from penstock.control.ledger_minutes import LedgerMinutes
from penstock.control.ledger_retention import Keep, Retention
from penstock.control.loop import Loop
from penstock.control.marketplace import Marketplace
from penstock.control.models import Models
from penstock.control.namespaces import Namespaces
from penstock.control.offers import Offers
from penstock.control.reconciler import Reconciler
from penstock.control.scaling_history import ScalingHistory
from penstock.control.throughput import Throughput
from penstock.control.uploads import Uploads
from penstock.control.versions import Versions
from penstock.domain.errors import PenstockError, Temporary
from penstock.domain.foundation import Foundation
from penstock.domain.scaling import Policy
from penstock.domain.usage import RequestRecord
from penstock.gateway.abroad import Abroad
from penstock.gateway.gate import Gate
from penstock.gateway.interrupt import Running
from penstock.gateway.ledger import Ledger
from penstock.gateway.quotas import Quotas
from penstock.gateway.relay import Carrier, Waits
from penstock.gateway.rooms import Rooms
from penstock.gateway.serve import Gateway
from penstock.gateway.table import Table
from penstock.ports.clock import Clock
from penstock.ports.cluster import Cluster
from penstock.ports.expansion import Expansion
from penstock.ports.tracking import TrackingServer
from penstock.settings import Settings
from penstock.web.app import Parts, create_app
from penstock.web.databricks.catalogue import Catalogue
from penstock.web.databricks.serving_endpoints import Serving
from penstock.web.dialects import DIALECTS
from penstock.web.metrics import ServerMetrics
from penstock.web.openai.app import DataPlane
from penstock.web.server import HttpServer, address_of, listen

Hearer = Callable[[Sequence[RequestRecord]], None]
"""Who is told of requests that have ended and are stored."""


@dataclass(frozen=True, slots=True)
class Started:
    """What is told when the server takes requests. `first_token` is set once in the life of an installation."""

    address: str
    first_token: str | None


async def run(settings: Settings, tell: Callable[[Started], None], clock: SystemClock | None = None) -> None:
    """Runs the server until SIGTERM or SIGINT; raises PenstockError if it cannot start."""
    with contextlib.closing(_listener(settings)) as listener:
        async with AsyncExitStack() as stack:
            parts, installation, requests = await _build(settings, clock or SystemClock(), stack)
            server = HttpServer(create_app(parts), listener, drain_s=settings.drain_s, drain=requests.drain)
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, server.stop)
            started = Started(address_of(listener), installation.first_token)
            await server.run_until_stopped(lambda: tell(started))


def _listener(settings: Settings) -> socket.socket:
    try:
        return listen(settings.host, settings.port)
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        raise PenstockError(f"Penstock cannot listen on {where}: {error.strerror}.") from error


async def _build(settings: Settings, clock: SystemClock, stack: AsyncExitStack) -> tuple[Parts, Installation, Running]:
    """Every part, from the ground up."""
    # The data folder and the database, for this process alone
    await claim_folder(settings, stack)
    store = await open_store(settings, stack)

    # Who is calling
    access = await make_access(settings, store, clock, stack)

    # Who looks on
    watching = make_watching(settings, access.installation.workspace_id, stack)

    # The catalogue and its files
    artifacts = FolderArtifacts(settings.data_dir.absolute() / "artifacts")
    catalogue, janitor = _catalogue(settings, store, artifacts, clock)

    # Endpoints and their engines
    external = make_external(settings, access.secrets, clock, stack)
    served = await _served(settings, store, artifacts, external.models, clock=clock, watching=watching, stack=stack)
    access.acls.on_change(served.table.permit)
    foundation, hint, versions = served.foundation, served.reconciler.hint, catalogue.versions
    taking = await make_foundation(settings, store, artifacts, versions, foundation=foundation, hint=hint, clock=clock)

    # The data plane, and all loops
    gateway, keeping = await _gateway(settings, store, served, external.abroad, watching=watching, stack=stack)
    batches, batching = await make_batches(settings, store, gateway, clock, stack)
    sweeping = _housekeeping(settings, store, janitor, clock)
    loops = [*served.loops, taking, *batching, *keeping, *access.loops, *sweeping]
    supervisor = await stack.enter_async_context(running(loops))

    # What is served
    services = {"database": store.ping, "artifacts": artifacts.ping, "cluster": served.cluster.devices}
    health = Health({**services, "loops": supervisor.check})
    metrics = await make_metrics(
        settings, watching, gateway, throughput=served.throughput, health=health, loops=loops, stack=stack
    )
    parts = _parts(
        settings,
        access,
        health=health,
        metrics=metrics,
        catalogue=catalogue,
        serving=served.serving,
        throughput=served.throughput,
        data_plane=_data_plane(settings, gateway, access, foundation),
        batches=batches,
        tracking=make_tracking(settings, store, artifacts, served.cluster, clock=clock, stack=stack),
        market=await make_market(settings, catalogue, artifacts, served.serving, clock=clock, stack=stack),
    )
    return parts, access.installation, gateway.running


def _parts(
    settings: Settings,
    access: AccessParts,
    *,
    health: Health,
    metrics: ServerMetrics,
    catalogue: Catalogue,
    serving: Serving,
    throughput: Throughput,
    data_plane: DataPlane,
    batches: Batches,
    tracking: TrackingServer,
    market: tuple[Marketplace, Installs],
) -> Parts:
    """What the routes need."""
    return Parts(
        workspace_id=access.installation.workspace_id,
        public_url=settings.public_url,
        authenticator=access.authenticator,
        tokens=access.tokens,
        principals=access.principals,
        groups=access.groups,
        permissions=access.permissions,
        client_secrets=access.client_secrets,
        secrets=access.secrets,
        secret_scopes=access.secret_scopes,
        audit=access.audit,
        health=health,
        metrics=metrics,
        catalogue=catalogue,
        serving=serving,
        throughput=throughput,
        data_plane=data_plane,
        batches=batches,
        tracking=tracking,
        market=market,
    )


@dataclass(frozen=True, slots=True)
class _Served:
    """Endpoints with their engines; `hearers` are told of requests that have ended."""

    clock: Clock
    running: Running
    table: Table
    gate: Gate
    limits: LimitParts
    cluster: Cluster
    serving: Serving
    reconciler: Reconciler
    throughput: Throughput
    foundation: Foundation
    loops: Sequence[Loop]
    hearers: Sequence[Hearer]


async def _served(
    settings: Settings,
    store: SqlStore,
    artifacts: FolderArtifacts,
    externals: ExternalModels,
    *,
    clock: Clock,
    watching: Watching,
    stack: AsyncExitStack,
) -> _Served:
    gate, limits = Gate(clock), make_limits(settings, clock, stack)
    stack.callback(gate.close)
    under_way = Running(clock, settings.gateway.request_timeout_s, settings.drain_s)
    foundation = load_foundation()
    table = Table(clock, gate, limits.limits, under_way, watching.observer, signs=foundation.signs())
    engines = await make_engines(settings, stack)
    cluster = engines.cluster
    serving, reconciler, measuring = await make_serving(
        settings,
        store,
        artifacts,
        engines,
        externals,
        table=table,
        gate=gate,
        foundation=foundation,
        clock=clock,
        stack=stack,
    )
    offers = serving.optimization.offers
    throughput, scaling, hearers = _scaling(settings, store, gate, offers, clock, expansion=reconciler.expanding)
    loops = (reconciler.loop, *measuring, *scaling)
    return _Served(
        clock, under_way, table, gate, limits, cluster, serving, reconciler, throughput, foundation, loops, hearers
    )


def _housekeeping(settings: Settings, store: SqlStore, janitor: Janitor, clock: SystemClock) -> list[Loop]:
    days = settings.ledger
    retention = Retention(store, clock, Keep(days.requests_days, days.minutes_days, days.hours_days))
    return [
        Loop("clock", clock.step, clock, period_s=1),
        Loop("ledger retention", retention.step, clock, period_s=settings.sweep.period_s),
        Loop("janitor", janitor.step, clock, period_s=settings.sweep.period_s),
    ]


def _scaling(
    settings: Settings, store: SqlStore, gate: Gate, offers: Offers, clock: Clock, *, expansion: Expansion
) -> tuple[Throughput, list[Loop], Sequence[Hearer]]:
    """The autoscaler, which remembers what it decides, what is told of throughput, and who hears of ended requests."""
    wish = settings.scaling
    policy = Policy(
        target=wish.target,
        burst_s=wish.burst_s,
        burst_chunks=wish.burst_chunks,
        mean_s=wish.mean_s,
        drain_s=wish.drain_s,
        down_s=wish.down_s,
        down_slow_s=wish.down_slow_s,
        slow_start_s=wish.slow_start_s,
        give_up_s=wish.give_up_s,
        idle_s=settings.serving.scale_to_zero_idle_s,
    )
    autoscaler = Autoscaler(gate, expansion, clock, policy)
    loop = Loop("autoscaler", autoscaler.paced, clock, period_s=wish.period_s)
    gate.on_excess(loop.hint)
    history = ScalingHistory(store, clock, autoscaler, days=wish.history_days)
    drift = DriftWatch(store, offers, gate, clock, window_s=settings.serving.drift_window_s)
    throughput = Throughput(store, gate, offers, clock, drift.of)
    loops = [
        loop,
        Loop("scaling history", history.step, clock, period_s=2),
        Loop("throughput", throughput.step, clock, period_s=1),
        Loop("drift", drift.step, clock, period_s=drift.period_s),
    ]
    return throughput, loops, (drift.hear, throughput.hear)


async def _gateway(
    settings: Settings, store: SqlStore, served: _Served, abroad: Abroad, *, watching: Watching, stack: AsyncExitStack
) -> tuple[Gateway, list[Loop]]:
    """The path of requests, which has taken over the ledger of an earlier process, and the loops that keep it."""
    clock, under_way = served.clock, served.running
    folder = settings.data_dir.absolute() / "requests"
    journal = FileJournal(folder, most_unwritten=settings.ledger.unwritten_bytes)
    journal.recover()
    keeper = LedgerKeeper(journal, store, LedgerMinutes(store, clock, served.gate.readings))
    keeper.on_stored(*served.hearers)
    stack.push_async_callback(_last_requests, keeper, journal)
    relay = _relay(settings)
    stack.push_async_callback(relay.close)
    carrier = Carrier(
        served.table,
        served.gate,
        relay,
        served.reconciler,
        rooms=Rooms(clock),
        waits=Waits(request_s=settings.gateway.request_timeout_s),
        pick=random.random,
    )
    loops = [
        Loop("request ledger", keeper.step, clock, period_s=1),
        Loop("request limit", under_way.step, clock, period_s=1),
        Loop("secrets", lambda: abroad.prepare(served.table), clock, period_s=30),
        *served.limits.loops,
    ]
    ledger, engines = Ledger(journal, clock), EngineClients()
    parts = served.limits
    quotas = Quotas(clock, served.foundation.quotas(), parts.terms, parts.leasing)
    observer = watching.observer
    return Gateway(served.table, carrier, ledger, engines, under_way, abroad, parts.limits, quotas, observer), loops


def _relay(settings: Settings) -> EngineRelay | VllmRelay:
    return VllmRelay(EngineRelay()) if settings.vllm.python or settings.vllm.older_python else EngineRelay()


def _data_plane(settings: Settings, gateway: Gateway, access: AccessParts, foundation: Foundation) -> DataPlane:
    given = settings.gateway
    return DataPlane(
        gateway,
        access.authenticator,
        access.installation.workspace_id,
        strict=given.strict,
        max_body_bytes=given.max_body_bytes,
        dialects=DIALECTS,
        notices=foundation.signs().notices,
    )


def _catalogue(
    settings: Settings, store: SqlStore, artifacts: FolderArtifacts, clock: Clock
) -> tuple[Catalogue, Janitor]:
    """The use cases of the catalogue, and who sweeps up after them."""
    signer = HmacSigner.open(settings.data_dir.absolute() / "signing.key")
    limits = FileLimits(settings.artifacts.max_upload_bytes, settings.artifacts.url_expiry_s * 1000)
    files = Files(store, clock, artifacts, signer, limits)
    catalogue = Catalogue(
        namespaces=Namespaces(store, clock, artifacts),
        models=Models(store, clock, artifacts),
        versions=Versions(store, clock, artifacts, FolderReader()),
        files=files,
        uploads=Uploads(store, clock, artifacts, files),
        grants=CatalogGrants(store),
        clock=clock,
        sdk_repository=settings.artifacts.sdk_repository,
    )
    return catalogue, Janitor(store, clock, artifacts, catalogue.versions, settings.artifacts.upload_expiry_s)


async def _last_requests(keeper: LedgerKeeper, journal: FileJournal) -> None:
    # What the database does not take now, the next start finds in the journal.
    with contextlib.suppress(Temporary):
        await keeper.finish()
    journal.close()
