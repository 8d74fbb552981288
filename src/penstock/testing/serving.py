"""Everything behind serving endpoints on fakes, in virtual time."""

import itertools
from dataclasses import replace
from pathlib import Path

from penstock.control.acts import Acts, Folders
from penstock.control.adapting import Adapting
from penstock.control.configurations import Configurations
from penstock.control.drift import DriftWatch
from penstock.control.endpoint_bounds import EndpointBounds
from penstock.control.endpoint_logs import EndpointLogs
from penstock.control.endpoint_settings import EndpointSettings
from penstock.control.endpoints import Endpoints
from penstock.control.external_models import ExternalModels, SecretKeeper
from penstock.control.loop import Loop
from penstock.control.notices import Notices
from penstock.control.offers import Offers
from penstock.control.optimization import Optimization
from penstock.control.profiler import Profiler
from penstock.control.profiles import Profiles
from penstock.control.quiet import Quiet
from penstock.control.reconciler import Reconciler
from penstock.control.remeasuring import Remeasuring
from penstock.control.temporary import TemporaryEngines
from penstock.control.throughput import Throughput
from penstock.control.watch import Watch
from penstock.domain.access import USERS
from penstock.domain.acl import Acl
from penstock.domain.catalog import Catalog, ModelVersion, RegisteredModel, Schema, VersionStatus
from penstock.domain.grant import OPEN
from penstock.domain.model import AdapterFacts, ModelFacts, Shape, Task
from penstock.domain.names import ModelName
from penstock.domain.routing import EndpointRoute
from penstock.domain.steps import Limits
from penstock.testing.capacity import FakeCapacity
from penstock.testing.clock import FakeClock
from penstock.testing.cluster import FakeCluster, FakeEngineClient, FakeGauge, FakeRecipe
from penstock.testing.mail import FakeMailer
from penstock.testing.provider import FakeProvider, FakeSecrets
from penstock.testing.store import FakeStore

FOLDERS = Folders(Path("/cache"), Path("/logs"))


class FakeTable:
    """See `penstock.ports.routing.RouteTable`. `history` has what was published, None for a withdrawal."""

    def __init__(self) -> None:
        self.now: dict[str, EndpointRoute] = {}
        self.history: list[EndpointRoute | None] = []
        self.idle: dict[str, float] = {}
        self.permitted: dict[str, Acl] = {}

    def publish(self, endpoint: EndpointRoute) -> None:
        """Notes it."""
        self.now[endpoint.id] = endpoint
        self.history.append(endpoint)

    def permit(self, endpoint_id: str, acl: Acl) -> None:
        """Notes it."""
        self.permitted[endpoint_id] = acl

    def withdraw(self, endpoint_id: str) -> None:
        """Notes it."""
        self.now.pop(endpoint_id, None)
        self.history.append(None)

    def idle_s(self, endpoint_id: str, entity: str) -> float:
        """As set by entity."""
        assert endpoint_id
        return self.idle.get(entity, 0.0)

    def of(self, name: str) -> EndpointRoute:
        """The route of an endpoint by name."""
        return next(route for route in self.now.values() if route.name == name)


class FakeFiles:
    """The one method of `penstock.ports.artifacts.ArtifactStore` that serving needs."""

    def local(self, storage: str) -> Path:
        """A path nobody opens."""
        return Path("/models") / storage


class World:
    """The control plane's serving side. `server()` makes it anew over the same store and cluster, as a restart does."""

    def __init__(
        self,
        store: FakeStore,
        clock: FakeClock,
        *,
        limits: Limits | None = None,
        devices: int = 1,
        secrets: SecretKeeper | None = None,
    ) -> None:
        self.store = store
        self.clock = clock
        self.cluster = FakeCluster(clock, devices=devices)
        self.client = FakeEngineClient(self.cluster)
        self.recipe = FakeRecipe()
        self.limits = limits or Limits()
        self.provider = FakeProvider()
        self.secrets = secrets or FakeSecrets()
        self.externals = ExternalModels(self.secrets, self.provider, strict=False)
        self.mailer = FakeMailer()
        self.bounds = EndpointBounds(clock)
        self._ids = (f"{number:032x}" for number in itertools.count(1))
        self.server()

    def server(self) -> None:
        """A new server's objects."""
        self.table = FakeTable()
        self.offers = Offers(self.store, self.cluster, self.recipe, FakeGauge())
        self.capacity = FakeCapacity()
        self.quiet = Quiet(self.capacity, self.clock)
        self.profiler = Profiler(self.store, self.client, self.cluster, self.clock, self.quiet, budget_s=20)
        self.notices = Notices(self.mailer, self.clock)
        self.adapting = Adapting(self.store, FakeFiles(), self.client)  # type: ignore[arg-type]  # as below
        self.reconciler = self._reconciler()
        self.expanding = self.reconciler.expanding
        self.measuring = Loop("profiler", self.profiler.step, self.clock, period_s=3600)
        self.profiler.on_request(self.measuring.hint)
        self.endpoints = Endpoints(
            self.store,
            Configurations(self.store, self.offers, self.externals, self.clock),
            self.clock,
            hint=self.reconciler.hint,
            settle=self.reconciler.step,
            withdraw=self.reconciler.withdraw,
            new_id=lambda: next(self._ids),
            bounds=self.bounds,
            notices=self.notices,
            adapted=self.adapting.of,
        )
        self.settings = EndpointSettings(
            self.store, self.endpoints, self.clock, hint=self.reconciler.hint, settle=self.reconciler.step
        )
        self.logs = EndpointLogs(self.store, self.cluster, FOLDERS.logs)
        self.optimization = Optimization(self.store, self.offers)
        self.remeasuring = self._remeasuring()
        self.reconciler.making_room.measure = self.remeasuring.ahead
        self.profiles = Profiles(self.store, self.offers, self.profiler, self.remeasuring)
        self.drift = DriftWatch(self.store, self.offers, self.capacity, self.clock, window_s=3600)
        self.throughput = Throughput(self.store, self.capacity, self.offers, self.clock, self.drift.of)

    def _reconciler(self) -> Reconciler:
        watch = Watch(self.cluster, self.client, self.profiler, self.clock)
        acts = Acts(
            store=self.store,
            artifacts=FakeFiles(),  # type: ignore[arg-type]  # nothing else of it is called
            cluster=self.cluster,
            recipe=self.recipe,
            profiler=self.profiler,
            watch=watch,
            adapting=self.adapting,
            clock=self.clock,
            folders=FOLDERS,
            new_id=lambda: next(self._ids),
            drain_s=10,
            notices=self.notices,
        )
        return Reconciler(
            store=self.store,
            cluster=self.cluster,
            table=self.table,
            offers=self.offers,
            acts=acts,
            watch=watch,
            clock=self.clock,
            limits=self.limits,
        )

    def _remeasuring(self) -> Remeasuring:
        engines = TemporaryEngines(
            reconciler=self.reconciler,
            artifacts=FakeFiles(),  # type: ignore[arg-type]  # nothing else of it is called
            cluster=self.cluster,
            recipe=self.recipe,
            client=self.client,
            clock=self.clock,
            folders=FOLDERS,
            new_id=lambda: next(self._ids),
            limit_s=600,
        )
        return Remeasuring(
            store=self.store,
            offers=self.offers,
            profiler=self.profiler,
            quiet=self.quiet,
            engines=engines,
            clock=self.clock,
            idle_s=300,
            room=lambda key: self.adapting.of(key).room,
        )


async def add_model(
    store: FakeStore,
    name: str = "main.default.guide",
    *,
    task: Task = Task.CHAT,
    status: VersionStatus = VersionStatus.READY,
    problem: str | None = None,
    base: str | None = None,
    alone: bool = True,
    rank: int = 8,
    architecture: str = "LlamaForCausalLM",
) -> None:
    """Adds a registered model with a version 1 to the catalogue, an adapter if it names its `base`.

    An adapter that is not `alone` has its base's weights beside it.
    """
    parsed = ModelName.parse(name)
    stamp = {"creator": "ann", "created_at": 1, "updated_by": "ann", "updated_at": 1}
    facts = ModelFacts(
        task=task,
        model_type="llama",
        architecture=architecture,
        parameters=1_000_000_000,
        weight_bytes=2_000_000_000,
        context_length=4096,
        shape=Shape(16, 2048, 8192, 32, 0 if task is Task.EMBEDDINGS else 8, 64, 32000),
        has_tokenizer=True,
        has_chat_template=True,
        problem=problem,
    )
    if base is not None:
        facts = replace(facts, adapter=AdapterFacts(base, rank))
        facts = replace(facts, architecture=None, shape=None) if alone else facts
    async with store.unit() as unit:
        rows = unit.catalog
        if await rows.catalog(parsed.catalog) is None:
            await rows.add_catalog(Catalog(id=parsed.catalog, name=parsed.catalog, owner="ann", **stamp))  # type: ignore[arg-type]
            await unit.grants.put(parsed.catalog, {USERS: OPEN})
        if await rows.schema(parsed.parent) is None:
            await rows.add_schema(Schema(id=str(parsed.parent), name=parsed.parent, owner="ann", **stamp))  # type: ignore[arg-type]
        await rows.add_model(RegisteredModel(id=name, name=parsed, owner="ann", **stamp))  # type: ignore[arg-type]
        number = await rows.next_number(parsed)
        assert number is not None
        await rows.add_version(
            ModelVersion(model=name, number=number, status=status, storage=name, source="", facts=facts, **stamp)  # type: ignore[arg-type]
        )
