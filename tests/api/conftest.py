"""The whole application in one process, on fakes."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from described import compare

from penstock.adapters.artifacts.folder import FolderArtifacts
from penstock.adapters.batches.folder import BatchFolder
from penstock.adapters.crypto.cipher import AesGcmCipher
from penstock.adapters.foundation.installs import InstallFolder
from penstock.adapters.models.reader import FolderReader
from penstock.adapters.signing import HmacSigner
from penstock.control.acl_changes import AclChanges
from penstock.control.audit import Audit
from penstock.control.authenticator import Authenticator
from penstock.control.batches import Batches, BatchLimits
from penstock.control.client_secrets import ClientSecrets
from penstock.control.credentials import digest, new_id
from penstock.control.endpoint_limits import EndpointLimits
from penstock.control.files import Files, Limits
from penstock.control.grants import CatalogGrants
from penstock.control.groups import Groups
from penstock.control.health import Health
from penstock.control.installs import Installs
from penstock.control.marketplace import Marketplace
from penstock.control.models import Models
from penstock.control.namespaces import Namespaces
from penstock.control.permissions import EndpointPermissions
from penstock.control.principals import Principals
from penstock.control.scaling_history import ScalingDecisions
from penstock.control.secret_memory import SecretMemory
from penstock.control.secret_scopes import SecretScopes
from penstock.control.secrets import Secrets
from penstock.control.tokens import Tokens
from penstock.control.uploads import Uploads
from penstock.control.versions import Versions
from penstock.domain.access import ADMINS, USERS, Principal, PrincipalKind, Scope, Token, TokenKind
from penstock.gateway.observer import Observer
from penstock.gateway.serve import Gateway
from penstock.gateway.trace import Tracing
from penstock.testing.clock import FakeClock
from penstock.testing.gateway import fake_gateway
from penstock.testing.machine import FakeMachine
from penstock.testing.market import FakeMarket
from penstock.testing.serving import World
from penstock.testing.store import FakeStore
from penstock.testing.telemetry import Counted, FakeTelemetry
from penstock.testing.tracking import FakeTracking
from penstock.web.app import Parts, Site, create_app
from penstock.web.databricks.catalogue import Catalogue
from penstock.web.databricks.serving_endpoints import Serving
from penstock.web.dialects import DIALECTS
from penstock.web.metrics import ServerMetrics
from penstock.web.openai.app import DataPlane

WORKSPACE_ID = "1234567890123456"
TOKENS = {"admin": "dapi-admin-token", "user": "dapi-user-token", "serving": "dapi-serving-token"}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def store(clock: FakeClock) -> FakeStore:
    """With an administrator, a user, and a user's token that is good for the data plane only."""
    made = FakeStore()
    people = {
        "admin": Principal("1", "admin@x.org", "Admin", PrincipalKind.USER, frozenset({ADMINS, USERS})),
        "user": Principal("2", "user@x.org", "User", PrincipalKind.USER, frozenset({USERS})),
    }
    async with made.unit() as unit:
        for person in people.values():
            await unit.access.add_principal(person, clock.now_ms())
        for name, value in TOKENS.items():
            owner = people.get(name, people["user"])
            scope = Scope.SERVING if name == "serving" else Scope.ALL_APIS
            token = Token(f"token-{name}", owner.id, TokenKind.PERSONAL, scope, "", clock.now_ms())
            await unit.access.add_token(token, digest(value))
    return made


@pytest.fixture
def catalogue(store: FakeStore, clock: FakeClock, tmp_path: Path) -> Catalogue:
    """Over the real folder and reader: what is uploaded can be finalized."""
    artifacts = FolderArtifacts(tmp_path / "artifacts")
    files = Files(store, clock, artifacts, HmacSigner(b"k" * 32), Limits(1_000_000, 60_000))
    return Catalogue(
        namespaces=Namespaces(store, clock, artifacts),
        models=Models(store, clock, artifacts),
        versions=Versions(store, clock, artifacts, FolderReader()),
        files=files,
        uploads=Uploads(store, clock, artifacts, files),
        grants=CatalogGrants(store),
        clock=clock,
    )


@pytest.fixture
def world(store: FakeStore, clock: FakeClock, secrets: Secrets) -> World:
    """Endpoints over engines of virtual time."""
    return World(store, clock, secrets=secrets)


@pytest.fixture
def batches(store: FakeStore, clock: FakeClock, tmp_path: Path) -> Batches:
    """Over the real folder; nobody works on them."""
    limits, files = BatchLimits(file_bytes=10_000, owner_bytes=25_000), BatchFolder(tmp_path / "batches")
    return Batches(store, files, clock, limits=limits, new_id=new_id, hint=lambda: None)


@pytest.fixture
def memory() -> SecretMemory:
    return SecretMemory()


@pytest.fixture
def secrets(store: FakeStore, clock: FakeClock, memory: SecretMemory) -> Secrets:
    """Under a key that is always the same."""
    return Secrets(store, clock, AesGcmCipher([b"m" * 32]), memory, new_id)


@pytest.fixture
def hub() -> FakeMarket:
    return FakeMarket()


@pytest.fixture
def market(
    store: FakeStore, clock: FakeClock, *, catalogue: Catalogue, world: World, hub: FakeMarket, tmp_path: Path
) -> tuple[Marketplace, Installs]:
    """Over a hub in memory and the real folders."""
    made = Marketplace(lambda: {hub.address: hub}, FolderReader(), world.offers)
    artifacts = FolderArtifacts(tmp_path / "artifacts")
    files, grants = InstallFolder(tmp_path / "marketplace"), CatalogGrants(store)
    models, versions = catalogue.models, catalogue.versions
    return made, Installs(
        made,
        files,
        models=models,
        versions=versions,
        artifacts=artifacts,
        grants=grants,
        clock=clock,
        new_id=new_id,
    )


@pytest.fixture
def tracking() -> FakeTracking:
    return FakeTracking()


@pytest.fixture
def telemetry() -> FakeTelemetry:
    return FakeTelemetry()


@pytest.fixture
def gateway(clock: FakeClock, telemetry: FakeTelemetry) -> Gateway:
    """Every trace is recorded."""
    return fake_gateway(clock, Observer(telemetry, Tracing(Counted())))


@pytest.fixture
def metrics(store: FakeStore, world: World, gateway: Gateway) -> ServerMetrics:
    return ServerMetrics(
        observer=gateway.observer,
        table=gateway.table,
        running=gateway.running,
        throughput=world.throughput,
        health=Health({"database": store.ping}),
        journal=gateway.ledger.journal,
        machine=FakeMachine(),
        version="1.2.3",
        loops=[world.measuring],
    )


@pytest.fixture
def parts(
    store: FakeStore,
    clock: FakeClock,
    *,
    catalogue: Catalogue,
    world: World,
    batches: Batches,
    secrets: Secrets,
    memory: SecretMemory,
    tracking: FakeTracking,
    gateway: Gateway,
    metrics: ServerMetrics,
    market: tuple[Marketplace, Installs],
) -> Parts:
    authenticator = Authenticator(store, clock)
    acls = AclChanges()
    acls.on_change(world.table.permit)
    principals = Principals(store, clock, authenticator, acls)
    principals.on_change(memory.forget_person)
    return Parts(
        workspace_id=WORKSPACE_ID,
        authenticator=authenticator,
        health=metrics.health,
        tokens=Tokens(store, clock, authenticator, quota=3, longest_s=None),
        principals=principals,
        groups=Groups(store, clock, principals, acls, memory),
        permissions=EndpointPermissions(store, acls),
        client_secrets=ClientSecrets(store, clock, token_s=3600),
        catalogue=catalogue,
        serving=Serving(
            world.endpoints,
            world.logs,
            world.optimization,
            ScalingDecisions(store),
            world.profiles,
            EndpointLimits(store, hint=world.reconciler.hint),
            world.settings,
        ),
        throughput=world.throughput,
        secrets=secrets,
        secret_scopes=SecretScopes(store, clock, memory),
        audit=Audit(store, clock, days=365),
        metrics=metrics,
        data_plane=DataPlane(
            gateway, authenticator, WORKSPACE_ID, strict=False, max_body_bytes=1_000_000, dialects=DIALECTS
        ),
        batches=batches,
        tracking=tracking,
        market=market,
    )


@pytest.fixture
def site(parts: Parts) -> Site:
    return create_app(parts)


def client_for(site: Site, token: str | None) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    transport, hooks = httpx.ASGITransport(app=site), {"response": [compare]}
    return httpx.AsyncClient(transport=transport, base_url="http://penstock", headers=headers, event_hooks=hooks)


@pytest.fixture
async def admin(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    async with client_for(site, TOKENS["admin"]) as client:
        yield client


@pytest.fixture
async def user(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    async with client_for(site, TOKENS["user"]) as client:
        yield client


@pytest.fixture
async def anonymous(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    async with client_for(site, None) as client:
        yield client
